import { expect } from 'chai'
import { describe, it } from 'mocha'
import { NamedLockConfigurationError } from '../../src/index.js'
import { rejection } from '../support/rejection.js'
import { until } from '../support/until.js'
import { classWith, FakeLockService } from './fake-lock-service.js'

const service = (): FakeLockService => new FakeLockService()

describe('@WithNamedLock with holdAtLeast', () => {
  it('holds the lock that long, and delays the call', async () => {
    const locks = service()
    const begin = performance.now()
    expect(await new (classWith('x', 0, { holdAtLeast: '60ms' }))(locks).pay()).to.equal('done')
    expect(locks.releasedAt! - begin).to.be.at.least(60)
    expect(locks.held).to.equal(undefined)
  })

  it('holds the lock also when the method fails or returns no promise', async () => {
    for (const [body, expected] of [
      [() => Promise.reject(new TypeError('boom')), TypeError],
      [() => 42, NamedLockConfigurationError],
    ] as const) {
      const locks = service()
      const begin = performance.now()
      await rejection(new (classWith('x', 0, { holdAtLeast: 40 }, body))(locks).pay(), expected)
      expect(locks.releasedAt! - begin).to.be.at.least(40)
    }
  })

  it('adds nothing to a method that takes longer', async () => {
    const locks = service()
    const slow = async () => {
      const begin = performance.now()
      await until('20 ms are over', () => performance.now() - begin >= 20, { every: 2 })
      return 'slow'
    }
    expect(await new (classWith('x', 0, { holdAtLeast: 10 }, slow))(locks).pay()).to.equal('slow')
    expect(locks.last?.signalReads, 'it waited for something').to.equal(0)
  })

  it('ends when the lock is lost', async () => {
    const locks = service()
    const paid = new (classWith('x', 0, { holdAtLeast: '1h' }))(locks).pay()
    await until('the method has ended', () => locks.held && locks.held.signalReads > 0)
    locks.held!.loss.abort()
    expect(await paid).to.equal('done')
  })

  it('does not begin when the lock has been lost already', async () => {
    const locks = service()
    const body = async () => locks.held!.loss.abort()
    await new (classWith('x', 0, { holdAtLeast: '1h' }, body))(locks).pay()
    expect(locks.held).to.equal(undefined)
  })

  it('may exceed the longest timer', async () => {
    const warnings: string[] = []
    const listen = (warning: Error): void => void warnings.push(warning.name)
    process.on('warning', listen)
    const locks = service()
    const paid = new (classWith('x', 0, { holdAtLeast: '720h' }))(locks).pay()
    await until('the method has ended', () => locks.held && locks.held.signalReads > 0)
    const { held } = locks
    const later = performance.now() + 15 // a timer that overflows fires after 1 ms, with a warning
    await until('some time has gone by', () => performance.now() > later)
    process.off('warning', listen)
    expect(locks.held).to.equal(held)
    expect(warnings).to.deep.equal([])
    held!.loss.abort()
    await paid
  })
})
