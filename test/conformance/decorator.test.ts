import { expect } from 'chai'
import { setTimeout as sleep } from 'node:timers/promises'
import type { DataSource } from 'typeorm'
import {
  NamedLock,
  NamedLockError,
  NamedLockReentrancyError,
  NamedLockService,
  NamedLockTimeoutError,
  WithNamedLock,
} from '../../src/index.js'
import { forEachDialectAndTypeorm } from '../support/conformance.js'
import { rejection } from '../support/rejection.js'
import { until } from '../support/until.js'

/** Classes as applications write them; the result of every method proves under which lock it ran. */
class OrderService {
  running = 0
  most = 0

  constructor(
    protected readonly locks: NamedLockService,
    readonly prefix = 'order',
  ) {}

  @WithNamedLock('settlement', '10s')
  async settle(): Promise<string> {
    this.most = Math.max(this.most, ++this.running)
    await sleep(2)
    this.running--
    return NamedLock.assertHeld('settlement').key
  }

  @WithNamedLock(function (id) {
    return `${this.prefix}:${id}`
  }, 5_000)
  async pay(id: number, _note = ''): Promise<string> {
    return NamedLock.assertHeld(`${this.prefix}:${id}`).key
  }

  @WithNamedLock((from: number, to: number) => [`account:${from}`, `account:${to}`])
  async transfer(_from: number, _to: number): Promise<readonly string[]> {
    return NamedLock.current()?.names ?? []
  }

  @WithNamedLock('busy', 100)
  async orThrow(): Promise<string> {
    return 'ran'
  }

  @WithNamedLock('busy', undefined, { onBusy: 'skip' })
  async orSkip(): Promise<string | undefined> {
    return 'ran'
  }

  @WithNamedLock('busy', 150, { onBusy: 'skip' })
  async orSkipLater(): Promise<string | undefined> {
    return 'ran'
  }

  @WithNamedLock('busy', 0, {
    onBusy(this: OrderService, id: number) {
      return `${this.prefix}:${id} is busy`
    },
  })
  async orElse(_id: number): Promise<string> {
    return 'ran'
  }

  @WithNamedLock('free', undefined, { onBusy: 'skip' })
  async timesOutInside(): Promise<string | undefined> {
    await this.locks.acquire('busy', { timeout: 0 })
    return 'ran'
  }

  @WithNamedLock('outer')
  @WithNamedLock('inner')
  async stacked(): Promise<boolean> {
    return NamedLock.assertHeld('outer').isHeld && NamedLock.assertHeld('inner').isHeld
  }

  @WithNamedLock('outer')
  async outer(call: () => Promise<string>): Promise<string> {
    return call()
  }

  @WithNamedLock('outer')
  async again(): Promise<string> {
    return 'ran'
  }

  @WithNamedLock('outer', undefined, { reentrant: true })
  async reentrant(): Promise<string> {
    return NamedLock.assertHeld('outer').key
  }

  @WithNamedLock('outer', '5s', { holdAtLeast: 250 })
  async quick(): Promise<string> {
    return 'ran'
  }
}

class Jobs {
  static locks: NamedLockService | undefined

  @WithNamedLock('nightly', 1_000)
  static async nightly(): Promise<string> {
    return NamedLock.assertHeld('nightly').key
  }
}

class Orphan {
  @WithNamedLock('orphan', 1_000)
  async run(): Promise<string> {
    return NamedLock.assertHeld('orphan').key
  }
}

class ByDataSource {
  constructor(readonly dataSource: DataSource) {}

  @WithNamedLock('repository')
  async run(): Promise<string> {
    return NamedLock.assertHeld('repository').key
  }
}

describe('@WithNamedLock', () => {
  forEachDialectAndTypeorm((ctx) => {
    const keyOf = (name: string) => ctx.keyOf(name)

    afterEach(() => {
      NamedLockService.setDefault(undefined)
      Jobs.locks = undefined
    })

    it('holds the lock of the instance’s service while the method runs', async () => {
      const locks = await ctx.service()
      const service = new OrderService(locks)
      expect(await service.settle()).to.equal(keyOf('settlement'))
      expect(await service.pay(42)).to.equal(keyOf('order:42'))
      expect(await new OrderService(locks, 'invoice').pay(7)).to.equal(keyOf('invoice:7'))
      expect(await service.transfer(1, 2)).to.deep.equal(['account:1', 'account:2'])
      expect(await ctx.outsider.userLocksOf(ctx.database)).to.deep.equal([])
    })

    it('lets one call in at a time, of one instance and of several', async () => {
      const service = new OrderService(await ctx.service())
      await Promise.all(Array.from({ length: 30 }, () => service.settle()))
      expect(service.most).to.equal(1)

      const other = new OrderService(await ctx.service())
      const shared = { running: 0, most: 0 }
      for (const one of [service, other]) {
        Object.defineProperty(one, 'running', { get: () => shared.running, set: (n: number) => (shared.running = n) })
        Object.defineProperty(one, 'most', { get: () => shared.most, set: (n: number) => (shared.most = n) })
      }
      await Promise.all(Array.from({ length: 30 }, (_, i) => (i % 2 ? service : other).settle()))
      expect(shared.most).to.equal(1)
    })

    it('waits for its timeout, and applies onBusy if another holder has the lock', async () => {
      const service = new OrderService(await ctx.service())
      await ctx.outsider.getLock(keyOf('busy'))
      const start = performance.now()
      const error = await rejection(service.orThrow(), NamedLockTimeoutError)
      expect(performance.now() - start).to.be.at.least(100)
      expect(error.holder?.connectionId).to.equal(ctx.outsider.id)
      expect(await service.orSkip()).to.equal(undefined)
      const again = performance.now()
      expect(await service.orSkipLater()).to.equal(undefined)
      expect(performance.now() - again).to.be.at.least(150)
      expect(await service.orElse(7)).to.equal('order:7 is busy')
      await rejection(service.timesOutInside(), NamedLockTimeoutError)

      await ctx.outsider.releaseLock(keyOf('busy'))
      expect(await service.orThrow()).to.equal('ran')
      expect(await service.orSkip()).to.equal('ran')
      expect(await service.orSkipLater()).to.equal('ran')
      expect(await service.orElse(7)).to.equal('ran')
    })

    it('finds the service of a static method’s class', async () => {
      Jobs.locks = await ctx.service()
      expect(await Jobs.nightly()).to.equal(keyOf('nightly'))
    })

    it('finds the service through the DataSource of a repository, or of any instance', async () => {
      const dataSource = await ctx.dataSource({
        entities: [{ name: 'Thing', columns: { id: { type: 'int', primary: true } } }],
      })
      ctx.adopt(NamedLockService.for(dataSource))
      class Things extends ctx.typeorm.module.Repository<{ id: number }> {
        @WithNamedLock('things')
        async lockedCount(): Promise<[string, number]> {
          return [NamedLock.assertHeld('things').key, await this.count()]
        }
      }
      await dataSource.query('CREATE TABLE thing (id INT PRIMARY KEY)')
      const things = new Things(dataSource.getMetadata('Thing').target, dataSource.manager)
      expect(await things.lockedCount()).to.deep.equal([keyOf('things'), 0])
      expect(await new ByDataSource(dataSource).run()).to.equal(keyOf('repository'))
    })

    it('finds the default service, and names the method if there is none', async () => {
      const missing = await rejection(new Orphan().run(), NamedLockError)
      expect(missing.message)
        .to.match(/Orphan/)
        .and.match(/run/)
      const locks = await ctx.service()
      NamedLockService.setDefault(locks)
      expect(NamedLockService.getDefault()).to.equal(locks)
      expect(await new Orphan().run()).to.equal(keyOf('orphan'))
      expect(await Jobs.nightly()).to.equal(keyOf('nightly'))
    })

    it('prefers the service of its option to any other', async () => {
      const [mine, given] = [await ctx.service(), await ctx.service({ namespace: `${ctx.database}_given` })]
      class Given {
        readonly locks = mine
        @WithNamedLock('a', 1_000, { locks: given })
        async byValue(): Promise<string> {
          return NamedLock.assertHeld('a').key
        }
        @WithNamedLock('a', 1_000, { locks: (self: Given) => self.chosen })
        async byFunction(): Promise<string> {
          return NamedLock.assertHeld('a').key
        }
        get chosen(): NamedLockService {
          return given
        }
      }
      expect(await new Given().byValue()).to.equal(ctx.keyOf('a', `${ctx.database}_given`))
      expect(await new Given().byFunction()).to.equal(ctx.keyOf('a', `${ctx.database}_given`))
    })

    it('stacks', async () => {
      const service = new OrderService(await ctx.service())
      expect(await service.stacked()).to.equal(true)
      expect(await ctx.outsider.userLocksOf(ctx.database)).to.deep.equal([])
    })

    it('detects reentrancy', async () => {
      const service = new OrderService(await ctx.service())
      await rejection(
        service.outer(() => service.again()),
        NamedLockReentrancyError,
      )
      expect(await service.outer(() => service.reentrant())).to.equal(keyOf('outer'))
      expect(await service.outer(async () => 'not nested')).to.equal('not nested')
    })

    it('releases when the method fails, with its own error', async () => {
      const service = new OrderService(await ctx.service())
      const failing = service.outer(() => Promise.reject(new TypeError('mine')))
      expect((await rejection(failing, TypeError)).message).to.equal('mine')
      expect(await ctx.outsider.userLocksOf(ctx.database)).to.deep.equal([])
    })

    it('holds the lock for holdAtLeast', async () => {
      const service = new OrderService(await ctx.service())
      const other = new OrderService(await ctx.service())
      const start = performance.now()
      const quick = service.quick()
      await until('the lock', () => ctx.outsider.holderOf(keyOf('outer')))
      expect(await other.outer(async () => 'in')).to.equal('in')
      expect(performance.now() - start).to.be.at.least(250)
      expect(await quick).to.equal('ran')
    })
  })
})
