import { expect } from 'chai'
import { afterEach, beforeEach, describe, it } from 'mocha'
import {
  NamedLockConfigurationError,
  NamedLockService,
  WithNamedLock,
  type WithNamedLockOptions,
} from '../../src/index.js'
import { rejection } from '../support/rejection.js'
import { makeDataSource, typeorms } from '../support/typeorms.js'
import { classWith, fakeDataSource, FakeLockService } from './fake-lock-service.js'

const service = (): FakeLockService => new FakeLockService()

describe('the service of a method @WithNamedLock', () => {
  const originals = { for: NamedLockService.for, default: NamedLockService.getDefault() }
  const byDataSource = new Map<object, FakeLockService>()

  beforeEach(() => {
    byDataSource.clear()
    NamedLockService.for = (dataSource: object) => {
      const found = byDataSource.get(dataSource) ?? new FakeLockService(dataSource as never)
      byDataSource.set(dataSource, found)
      return found
    }
  })
  afterEach(() => {
    NamedLockService.for = originals.for
    NamedLockService.setDefault(originals.default)
  })

  class Anything {
    [key: string | symbol]: unknown
    @WithNamedLock('x')
    async run(): Promise<string> {
      return 'ran'
    }
  }
  /** The service that got the call. */
  const asked = async (instance: Pick<Anything, 'run'>, ...services: FakeLockService[]): Promise<number> => {
    expect(await instance.run()).to.equal('ran')
    const found = services.filter((one) => one.calls.splice(0).length === 1)
    expect(found).to.have.length(1)
    return services.indexOf(found[0]!)
  }

  it('is that of options.locks before all others', async () => {
    const [first, second, third] = [service(), service(), service()]
    for (const locks of [first, (self: any) => self.special] as WithNamedLockOptions['locks'][]) {
      class Special {
        readonly own = second
        readonly special = first
        readonly dataSource = fakeDataSource()
        @WithNamedLock('x', 0, { locks })
        async run(): Promise<string> {
          return 'ran'
        }
      }
      NamedLockService.setDefault(third)
      expect(await asked(new Special(), first, second, third)).to.equal(0)
      expect(byDataSource.size).to.equal(0)
    }
  })

  it('may be in a #private field with options.locks', async () => {
    const locks = service()
    class Hidden {
      readonly #locks = locks
      @WithNamedLock('x', 0, { locks: (self) => self.service() })
      async run(): Promise<string> {
        return 'ran'
      }
      service(): FakeLockService {
        return this.#locks
      }
    }
    expect(await asked(new Hidden(), locks)).to.equal(0)
  })

  it('must be one, if options.locks is a function', async () => {
    for (const wrong of [undefined, null, {}, 'locks', { withLock: () => 1 }]) {
      const Class = classWith('x', 0, { locks: () => wrong })
      const error = await rejection(new Class(service()).pay(), NamedLockConfigurationError)
      expect(error.message).to.match(/^Orders\.pay: the locks option of @WithNamedLock returned .* instead/)
    }
  })

  it('is an own property of the instance, under whatever key', async () => {
    const locks = service()
    for (const key of ['locks', 'anything', Symbol('locks')]) {
      const instance = new Anything()
      instance[key] = locks
      expect(await asked(instance, locks)).to.equal(0)
    }
    const hidden = new Anything()
    Object.defineProperty(hidden, 'hidden', { value: locks, enumerable: false })
    expect(await asked(hidden, locks)).to.equal(0)
  })

  it('is the first of several, and the one that is there now', async () => {
    const [first, second] = [service(), service()]
    const instance = Object.assign(new Anything(), { first, second })
    expect(await asked(instance, first, second)).to.equal(0)
    instance.first = second
    expect(await asked(instance, first, second)).to.equal(1)
  })

  it('is not searched behind getters', async () => {
    const [behind, fallback] = [service(), service()]
    const instance = new Anything()
    Object.defineProperty(instance, 'getter', {
      get: () => {
        throw new Error('touched')
      },
      enumerable: true,
    })
    Object.defineProperty(instance, 'service', { get: () => behind, enumerable: true })
    NamedLockService.setDefault(fallback)
    expect(await asked(instance, behind, fallback)).to.equal(1)
  })

  it('belongs to this.dataSource', async () => {
    const dataSource = fakeDataSource()
    const instance = Object.assign(new Anything(), { dataSource })
    byDataSource.set(dataSource, service())
    NamedLockService.setDefault(service())
    expect(await asked(instance, byDataSource.get(dataSource)!)).to.equal(0)
  })

  it('belongs to a dataSource returned by a getter', async () => {
    const dataSource = fakeDataSource()
    class WithGetter extends Anything {
      get dataSource() {
        return dataSource
      }
    }
    byDataSource.set(dataSource, service())
    expect(await asked(new WithGetter(), byDataSource.get(dataSource)!)).to.equal(0)
  })

  it('belongs to the DataSource of this.manager, under the name of either major', async () => {
    for (const name of ['dataSource', 'connection']) {
      const dataSource = fakeDataSource()
      byDataSource.set(dataSource, service())
      const instance = Object.assign(new Anything(), { manager: { [name]: dataSource } })
      expect(await asked(instance, byDataSource.get(dataSource)!)).to.equal(0)
    }
  })

  it('is an own property before it is a DataSource’s', async () => {
    const locks = service()
    expect(await asked(Object.assign(new Anything(), { dataSource: fakeDataSource(), locks }), locks)).to.equal(0)
    expect(byDataSource.size).to.equal(0)
  })

  it('is the default one before there is none, whatever else is called dataSource or manager', async () => {
    const fallback = service()
    NamedLockService.setDefault(fallback)
    for (const others of [
      {},
      { dataSource: 'main', manager: 'Bob' },
      { dataSource: null, manager: { dataSource: {} } },
    ]) {
      expect(await asked(Object.assign(new Anything(), others), fallback)).to.equal(0)
    }
    expect(byDataSource.size).to.equal(0)
  })

  it('is the default one for a method without its this', async () => {
    const fallback = service()
    NamedLockService.setDefault(fallback)
    const { run } = Anything.prototype
    expect(await asked({ run: () => run.call(undefined as never) }, fallback)).to.equal(0)
  })

  it('is found for static methods as for others', async () => {
    const locks = service()
    class Static {
      static readonly locks = locks
      @WithNamedLock('x')
      static async run(): Promise<string> {
        return 'ran'
      }
    }
    expect(await asked(Static, locks)).to.equal(0)
  })

  it('is reported as missing by an error that names the method and every remedy', async () => {
    NamedLockService.setDefault(undefined)
    const error = await rejection(new Anything().run(), NamedLockConfigurationError)
    expect(error.message).to.match(/^Anything\.run: /)
    for (const way of [
      'locks: (self)',
      '#private',
      'property of the instance',
      'this.dataSource',
      'this.manager',
      'setDefault',
    ]) {
      expect(error.message).to.include(way)
    }
    const { run } = Anything.prototype
    expect((await rejection(run.call(undefined as never))).message).to.match(/^run: /)
  })

  for (const typeorm of typeorms) {
    describe(`in a repository of ${typeorm.name}`, () => {
      const { Repository, EntitySchema } = typeorm.module
      const Order = new EntitySchema({ name: 'order', columns: { id: { type: Number, primary: true } } })
      const dataSource = makeDataSource(typeorm, {
        kind: 'mysql',
        host: '127.0.0.1',
        port: 1,
        username: 'nobody',
        password: '',
        database: 'none',
      })
      class Orders extends Repository<{ id: number }> {
        @WithNamedLock('x')
        async run(): Promise<string> {
          return 'ran'
        }
      }

      it('belongs to its manager’s DataSource', async () => {
        byDataSource.set(dataSource, service())
        expect(await asked(new Orders(Order, dataSource.manager), byDataSource.get(dataSource)!)).to.equal(0)
      })

      it('is found by repositories that were extended', async () => {
        byDataSource.set(dataSource, service())
        const extended = new Repository(Order, dataSource.manager).extend({ run: Orders.prototype.run })
        expect(await asked(extended, byDataSource.get(dataSource)!)).to.equal(0)
      })

      it('is found by static methods of active records', async () => {
        class Photo extends typeorm.module.BaseEntity {
          @WithNamedLock('x')
          static async run(): Promise<string> {
            return 'ran'
          }
        }
        Photo.useDataSource(dataSource)
        byDataSource.set(dataSource, service())
        expect(await asked(Photo, byDataSource.get(dataSource)!)).to.equal(0)
      })
    })
  }
})
