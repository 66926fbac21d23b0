import { Inject, Injectable, type BeforeApplicationShutdown, type INestApplicationContext } from '@nestjs/common'
import { expect } from 'chai'
import { DataSource, Entity, PrimaryGeneratedColumn, Repository } from 'typeorm'
import { NamedLockClosedError, NamedLockService, WithNamedLock } from '../../src/index.js'
import { NamedLockModule } from '../../src/nestjs/index.js'
import { forEachServer } from '../support/conformance.js'
import { reasonOf, rejection } from '../support/rejection.js'
import { settlesWithin, until } from '../support/until.js'
import { database, start } from './support/nest-app.js'

@Entity()
class Seat {
  @PrimaryGeneratedColumn() id!: number
}

class SeatRepository extends Repository<Seat> {
  @WithNamedLock('seats')
  async take(): Promise<void> {}
}

describe('the shutdown of a Nest application', function () {
  this.timeout(60_000)

  forEachServer((ctx) => {
    const key = (name: string) => `${ctx.database}.${name}`

    it('rejects waiters, lets running work end, and releases locks before the DataSource is destroyed', async () => {
      const app = await start({ imports: [database(ctx), NamedLockModule.forRoot({ closeTimeout: '5m' })] })
      const atDestroy = holderAtDestroy(app, () => ctx.outsider.holderOf(key('work')))
      const locks = app.get(NamedLockService)
      let finish = (): void => undefined
      const working = locks.transaction('work', async (manager) => {
        await new Promise<void>((resolve) => (finish = resolve))
        return manager.query('SELECT 1')
      })
      await until('the work', () => ctx.outsider.holderOf(key('work')), { within: 15_000 })
      const waiting = rejection(locks.acquire('work', { timeout: Infinity }), NamedLockClosedError)
      const idle = await locks.acquire('idle')
      const closing = app.close()
      await settlesWithin(10_000, 'the waiter', waiting)
      await until('the idle lock is back', async () => (await ctx.outsider.holderOf(key('idle'))) === null, {
        within: 15_000,
      })
      expect(idle.signal.aborted).to.equal(true)
      expect(await ctx.outsider.holderOf(key('work'))).to.be.a('string')
      expect(locks.dataSource.isInitialized).to.equal(true)
      finish()
      expect(await working).to.have.length(1)
      await closing
      expect(await atDestroy).to.equal(null)
      expect(locks.dataSource.isInitialized).to.equal(false)
    })

    it('ends holdAtLeast of methods that have ended, and their calls succeed', async () => {
      let ended = 0
      @Injectable()
      class Jobs {
        constructor(@Inject(NamedLockService) readonly locks: NamedLockService) {}

        @WithNamedLock('plain', 0, { onBusy: 'skip', holdAtLeast: '1h' })
        async plain(): Promise<string | undefined> {
          ended++
          return 'plain'
        }

        @WithNamedLock('committed', 0, { transaction: true, holdAtLeast: '1h' })
        async committed(): Promise<unknown> {
          const [{ n }] = await this.locks.manager.query('SELECT 1 AS n')
          ended++
          return Number(n)
        }
      }
      const imports = [database(ctx), NamedLockModule.forRoot({ closeTimeout: '5m' })]
      const app = await start({ imports, providers: [Jobs] })
      const jobs = app.get(Jobs)
      const running = [jobs.plain(), jobs.committed()]
      await until('the end of both methods', () => ended === 2, { within: 15_000 })
      expect(await ctx.outsider.holderOf(key('plain'))).to.be.a('string')
      await settlesWithin(20_000, 'app.close()', app.close())
      expect(await Promise.all(running)).to.deep.equal(['plain', 1])
    })

    it('ends the lock of work that exceeds closeTimeout, and aborts its signal', async () => {
      const app = await start({ imports: [database(ctx), NamedLockModule.forRoot({ closeTimeout: '200ms' })] })
      const atDestroy = holderAtDestroy(app, () => ctx.outsider.holderOf(key('work')))
      const locks = app.get(NamedLockService)
      let closing: Promise<void> | undefined
      const reason = await reasonOf(
        locks.withLock('work', async ({ signal }) => {
          closing = app.close()
          await new Promise((resolve) => signal.addEventListener('abort', resolve))
        }),
      )
      expect(reason).to.have.property('code', 'LOST')
      await closing
      expect(await atDestroy).to.equal(null)
    })

    it('refuses calls after it has begun, also those that find the service by the DataSource', async () => {
      @Injectable()
      class Late implements BeforeApplicationShutdown {
        readonly reasons: unknown[] = []
        async beforeApplicationShutdown() {
          const dataSource = app.get(DataSource)
          await until('the service is closed', () =>
            rejection(app.get(NamedLockService).acquire('late'), NamedLockClosedError),
          )
          this.reasons.push(await reasonOf(new SeatRepository(Seat, dataSource.manager).take()))
          this.reasons.push(await reasonOf(NamedLockService.for(dataSource).acquire('late')))
        }
      }
      // In a separate module, with a hook that runs after that of the lock service or in parallel.
      const app = await start({
        imports: [database(ctx, { entities: [Seat] }), NamedLockModule.forRoot()],
        providers: [Late],
      })
      const dataSource = app.get(DataSource)
      const locks = app.get(NamedLockService)
      await new SeatRepository(Seat, dataSource.manager).take()
      void locks.close()
      const late = app.get(Late)
      await app.close()
      expect(late.reasons.map((reason) => (reason as Error).name)).to.deep.equal(Array(2).fill('NamedLockClosedError'))
      expect(NamedLockService.for(dataSource)).to.not.equal(locks)
    })

    it('may be requested twice, and followed by a new application', async () => {
      const imports = [database(ctx), NamedLockModule.forRoot()]
      for (let round = 1; round <= 2; round++) {
        const app = await start({ imports })
        await app.get(NamedLockService).withLock('work', () => undefined)
        await Promise.all([app.close(), app.close()])
        await app.close()
      }
    })

    it('happens on SIGTERM', async () => {
      const child = ctx.startChild('nest-app.ts', { name: 'work' })
      await child.next('working', 30_000)
      child.terminate()
      expect(await child.next('refused')).to.include({ code: 'CLOSED' })
      expect(await ctx.outsider.holderOf(key('work'))).to.be.a('string')
      child.send({ type: 'finish' })
      expect(await child.next('finished')).to.include({ isHeld: true })
      await child.exited
    })
  })
})

/** The holder of the lock when TypeOrmModule destroys the DataSource. */
function holderAtDestroy(app: INestApplicationContext, look: () => Promise<string | null>): Promise<string | null> {
  const dataSource = app.get(DataSource)
  const destroy = dataSource.destroy.bind(dataSource)
  return new Promise((resolve, reject) => {
    dataSource.destroy = async () => {
      await look().then(resolve, reject)
      await destroy()
    }
  })
}
