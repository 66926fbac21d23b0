import { expect } from 'chai'
import { describe, it } from 'mocha'
import { InvalidLockNameError, NamedLockConfigurationError, NamedLockTimeoutError } from '../../src/index.js'
import { reasonOf, rejection } from '../support/rejection.js'
import { classWith, FakeLockService } from './fake-lock-service.js'

const service = (): FakeLockService => new FakeLockService()

describe('@WithNamedLock with onBusy', () => {
  const busy = (): FakeLockService => Object.assign(service(), { isBusy: true })

  it("'throw' is the default", async () => {
    for (const onBusy of [undefined, 'throw']) {
      const locks = busy()
      await rejection(new (classWith('x', undefined, { onBusy }))(locks).pay(), NamedLockTimeoutError)
      expect(locks.calls[0]?.options.timeout).to.equal(undefined)
    }
  })

  it("'skip' resolves to undefined", async () => {
    expect(await new (classWith('x', 0, { onBusy: 'skip' }))(busy()).pay()).to.equal(undefined)
  })

  it('a function is called instead, with this and the arguments', async () => {
    const given: unknown[] = []
    const answers = [(): unknown => 'later', () => Promise.resolve('later')]
    for (const answer of answers) {
      const onBusy = function (this: unknown, ...args: unknown[]): unknown {
        given.push(this, ...args)
        return answer()
      }
      const instance = new (classWith('x', 0, { onBusy }))(busy())
      expect(await instance.pay(1, 'two')).to.equal('later')
      expect(given.splice(0)).to.deep.equal([instance, 1, 'two'])
    }
  })

  it('rejects with the error of its function', async () => {
    const boom = new Error('boom')
    const onBusy = () => {
      throw boom
    }
    expect(await reasonOf(new (classWith('x', 0, { onBusy }))(busy()).pay())).to.equal(boom)
  })

  it('other than throw makes an omitted timeout 0, and leaves a given one', async () => {
    for (const onBusy of ['skip', () => 1]) {
      const locks = service()
      await new (classWith('x', undefined, { onBusy }))(locks).pay()
      await new (classWith('x', '2s', { onBusy }))(locks).pay()
      expect(locks.calls.map((call) => call.options.timeout)).to.deep.equal([0, 2_000])
    }
  })

  it('does not apply to a timeout thrown inside the method', async () => {
    const inner = new NamedLockTimeoutError('another lock')
    for (const transaction of [true, false]) {
      for (const onBusy of ['skip', () => 'wrong']) {
        const Class = classWith('x', 0, { onBusy, transaction }, () => Promise.reject(inner))
        expect(await reasonOf(new Class(service()).pay())).to.equal(inner)
      }
    }
  })

  it('does not apply to other errors', async () => {
    class Broken extends FakeLockService {
      override withLock(): Promise<any> {
        return Promise.reject(new InvalidLockNameError('broken'))
      }
    }
    await rejection(new (classWith('x', 0, { onBusy: 'skip' }))(new Broken()).pay(), InvalidLockNameError)
  })

  it('does not apply when there is no service', async () => {
    const Class = classWith('x', 0, { onBusy: 'skip' })
    await rejection(new Class(undefined as never).pay(), NamedLockConfigurationError)
  })
})
