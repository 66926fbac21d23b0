import 'reflect-metadata'
import { expect } from 'chai'
import { describe, it } from 'mocha'
import { WithNamedLock } from '../../src/index.js'
import { classWith, FakeLockService } from './fake-lock-service.js'

const service = (): FakeLockService => new FakeLockService()

describe('@WithNamedLock with other decorators', () => {
  const Route = (path: string) => (_target: object, _key: string, descriptor: PropertyDescriptor) => {
    Reflect.defineMetadata('route', path, descriptor.value as object)
  }
  const Marked = (_target: object, _key: string, descriptor: PropertyDescriptor) => {
    Object.assign(descriptor.value as object, { marked: true })
  }
  const Doubled = (_target: object, _key: string, descriptor: PropertyDescriptor) => {
    const method = descriptor.value as (...args: unknown[]) => Promise<number>
    descriptor.value = async function (this: unknown, ...args: unknown[]) {
      return 2 * (await method.apply(this, args))
    }
  }
  const symbol = Symbol('secret')
  class Orders {
    constructor(readonly locks: FakeLockService) {}

    @Route('/above')
    @WithNamedLock('x')
    async above(_id: number, _note: string): Promise<void> {}

    @WithNamedLock('x')
    @Route('/below')
    @Marked
    async below(_id: number): Promise<void> {}

    @Doubled
    @WithNamedLock('a')
    @Doubled
    @WithNamedLock('b')
    async stacked(value: number): Promise<number> {
      return value
    }

    @WithNamedLock('x')
    async [symbol](): Promise<void> {}

    @WithNamedLock('x')
    async 42(): Promise<void> {}

    @WithNamedLock('x')
    async rest(_one: number, _two = 2, ..._more: number[]): Promise<void> {}

    async plain(_one: number, _two: number): Promise<void> {}
  }

  it('looks like the method: name, arity, descriptor', () => {
    expect(Orders.prototype.above).to.include({ name: 'above', length: 2 })
    expect(Orders.prototype.below).to.include({ name: 'below', length: 1 })
    expect(Orders.prototype.rest).to.include({ name: 'rest', length: 1 })
    expect(Orders.prototype[symbol].name).to.equal('[secret]')
    expect(Orders.prototype[42].name).to.equal('42')
    const { value: _value, ...plain } = Object.getOwnPropertyDescriptor(Orders.prototype, 'plain')!
    const { value: decorated, ...rest } = Object.getOwnPropertyDescriptor(Orders.prototype, 'above')!
    expect(rest).to.deep.equal(plain)
    expect(Reflect.ownKeys(decorated as object)).to.have.members(Reflect.ownKeys(Orders.prototype.plain))
  })

  it('keeps metadata and properties set on the method, above it or below', () => {
    expect(Reflect.getMetadata('route', Orders.prototype.above)).to.equal('/above')
    expect(Reflect.getMetadata('route', Orders.prototype.below)).to.equal('/below')
    expect(Orders.prototype.below).to.have.property('marked', true)
  })

  it('works without reflect-metadata', () => {
    const reflect = Reflect as { getMetadataKeys?: unknown }
    const { getMetadataKeys } = reflect
    delete reflect.getMetadataKeys
    try {
      expect(new (classWith('x'))(service()).pay).to.be.a('function')
    } finally {
      reflect.getMetadataKeys = getMetadataKeys
    }
  })

  it('stacks', async () => {
    const orders = new Orders(service())
    expect(await orders.stacked(10)).to.equal(40)
    expect(orders.locks.calls.map((call) => call.name)).to.deep.equal(['a', 'b'])
  })

  it('works if only the descriptor is used', async () => {
    // Like Nest's applyDecorators, which ignores the results of decorators.
    const Both = (target: object, key: string, descriptor: PropertyDescriptor) => {
      for (const one of [WithNamedLock('x') as MethodDecorator, Route('/both')]) one(target, key, descriptor)
    }
    class Applied {
      constructor(readonly locks: FakeLockService) {}
      @Both
      async run(): Promise<number> {
        return 1
      }
    }
    const applied = new Applied(service())
    await applied.run()
    expect(applied.locks.calls).to.have.length(1)
    expect(Reflect.getMetadata('route', Applied.prototype.run)).to.equal('/both')
  })

  it('can be stored and used again', async () => {
    const stored = WithNamedLock('x')
    class Twice {
      constructor(readonly locks: FakeLockService) {}
      @stored async one(): Promise<number> {
        return 1
      }
      @stored async two(): Promise<number> {
        return 2
      }
    }
    const twice = new Twice(service())
    expect([await twice.one(), await twice.two()]).to.deep.equal([1, 2])
  })
})
