import { expect } from 'chai'
import { describe, it } from 'mocha'
import { NamedLockConfigurationError, NamedLockTimeoutError, WithNamedLock } from '../../src/index.js'
import { reasonOf, rejection } from '../support/rejection.js'
import { classWith, FakeLockService } from './fake-lock-service.js'

const service = (): FakeLockService => new FakeLockService()

describe('a call of a method @WithNamedLock', () => {
  class Orders {
    readonly prefix = 'order'
    seen: unknown
    constructor(readonly locks: FakeLockService) {}

    @WithNamedLock('settlement', '10s')
    async settle(one: number, two = 2): Promise<number> {
      this.seen = { held: this.locks.held?.name }
      return one + two
    }

    @WithNamedLock(function (id, note) {
      return [`${this.prefix}:${id}`, note]
    }, 5000)
    async pay(id: number, note: string): Promise<string> {
      return `${this.prefix} ${id} ${note}`
    }

    @WithNamedLock(42n)
    async big(): Promise<void> {}

    @WithNamedLock('static', undefined, { locks: () => statics })
    static async every(): Promise<unknown> {
      return this
    }
  }
  const statics = service()

  it('runs the method under the lock, with its this and arguments', async () => {
    const orders = new Orders(service())
    expect(await orders.settle(40)).to.equal(42)
    expect(orders.seen).to.deep.equal({ held: 'settlement' })
    expect(orders.locks.held).to.equal(undefined)
    expect(orders.locks.calls).to.have.length(1)
    expect(orders.locks.calls[0]).to.deep.include({ by: 'withLock', name: 'settlement' })
  })

  it('passes the timeout in milliseconds, or leaves it to the service', async () => {
    const orders = new Orders(service())
    await orders.settle(1)
    await orders.pay(1, 'x')
    await orders.big()
    expect(orders.locks.calls.map((call) => call.options.timeout)).to.deep.equal([10_000, 5_000, undefined])
  })

  it('names the lock by the result of its function for this and the arguments', async () => {
    const orders = new Orders(service())
    expect(await orders.pay(7, 'gift')).to.equal('order 7 gift')
    expect(orders.locks.calls[0]?.name).to.deep.equal(['order:7', 'gift'])
  })

  it('takes a bigint as a name', async () => {
    const orders = new Orders(service())
    await orders.big()
    expect(orders.locks.calls[0]?.name).to.equal(42n)
  })

  it('works on static methods', async () => {
    expect(await Orders.every()).to.equal(Orders)
    expect(statics.calls[0]?.name).to.equal('static')
  })

  it('keeps its names when the array is changed later', async () => {
    const names = ['a', 'b']
    const Class = classWith(names)
    names.push('c')
    const locks = service()
    await new Class(locks).pay()
    expect(locks.calls[0]?.name).to.deep.equal(['a', 'b'])
  })

  it('rejects with the error of the name function, and runs nothing', async () => {
    const boom = new Error('no id')
    let ran = false
    const Class = classWith(
      () => {
        throw boom
      },
      undefined,
      { onBusy: 'skip' },
      async () => (ran = true),
    )
    const locks = service()
    expect(await reasonOf(new Class(locks).pay())).to.equal(boom)
    expect(locks.calls).to.deep.equal([])
    expect(ran).to.equal(false)
  })

  it('rejects with the error of the method, thrown at once or later', async () => {
    const boom = new Error('boom')
    for (const body of [
      () => {
        throw boom
      },
      () => Promise.reject(boom),
    ]) {
      const locks = service()
      expect(await reasonOf(new (classWith('x', 0, {}, body))(locks).pay())).to.equal(boom)
      expect(locks.held).to.equal(undefined)
    }
  })

  it('rejects when the method returns no promise; the lock is released', async () => {
    const locks = service()
    const Class = classWith('x', 0, {}, () => 42)
    const error = await rejection(new Class(locks).pay(), NamedLockConfigurationError)
    expect(error.message).to.match(/^Orders\.pay returned 42 instead of a promise/)
    expect(locks.held).to.equal(undefined)
    expect(locks.releasedAt).to.be.a('number')
  })

  it('accepts any thenable as a promise', async () => {
    const Class = classWith('x', 0, {}, () => ({ then: (resolve: (value: string) => void) => resolve('fine') }))
    expect(await new Class(service()).pay()).to.equal('fine')
  })

  it('never runs the method when the lock is refused', async () => {
    let ran = 0
    const Class = classWith('x', 0, {}, async () => ran++)
    const locks = service()
    locks.isBusy = true
    await rejection(new Class(locks).pay(), NamedLockTimeoutError)
    expect(ran).to.equal(0)
  })

  it('passes reentrant and the signal, fixed or computed per call', async () => {
    const { signal } = new AbortController()
    const given: unknown[] = []
    const locks = service()
    await new (classWith('x', 1, { reentrant: true, signal }))(locks).pay()
    const instance = new (classWith('x', 1, {
      signal(this: unknown, ...args: unknown[]) {
        given.push(this, ...args)
        return signal
      },
    }))(locks)
    await instance.pay(1, 2)
    await new (classWith('x', 1, { signal: () => undefined }))(locks).pay()
    expect(locks.calls.map((call) => call.options)).to.deep.equal([
      { timeout: 1, reentrant: true, signal },
      { timeout: 1, reentrant: false, signal },
      { timeout: 1, reentrant: false, signal: undefined },
    ])
    expect(given).to.deep.equal([instance, 1, 2])
  })

  it('runs in a transaction of the service with transaction: true', async () => {
    const locks = service()
    expect(await new (classWith('stock', '1s', { transaction: true }))(locks).pay()).to.equal('done')
    expect(locks.calls).to.deep.equal([
      { by: 'transaction', name: 'stock', options: { timeout: 1_000, reentrant: false, signal: undefined } },
    ])
  })
})
