import { expect } from 'chai'
import { describe, it } from 'mocha'
import { NamedLockReentrancyError } from '../../src/index.js'
import { InMemoryNamedLockService } from '../../src/testing/index.js'
import { rejection } from '../support/rejection.js'
import { typeorms } from '../support/typeorms.js'

describe('runOnce in memory', () => {
  it('has the answers of a server, without a DataSource', async () => {
    await using locks = new InMemoryNamedLockService()
    expect(await locks.runOnce('a', () => 1)).to.deep.equal({ ran: true, value: 1 })
    const again = await locks.runOnce('a', () => 1)
    expect(again.ran).to.equal(false)
    if (!again.ran) expect(again.doneAt).to.be.instanceOf(Date)
    await rejection(locks.runOnce('b', () => Promise.reject(new Error('no'))))
    await locks.transaction('other', () => {})
    expect((await locks.runOnce('b', () => 1)).ran).to.equal(true)
    const together = await Promise.all([1, 2, 3].map((n) => locks.runOnce('c', () => n)))
    expect(together.map(({ ran }) => ran)).to.deep.equal([true, false, false])
    await rejection(
      locks.runOnce('d', () => locks.runOnce('d', () => 1)),
      NamedLockReentrancyError,
    )
    expect(await locks.forget('a')).to.equal(true)
    expect(await locks.forget('a')).to.equal(false)
    await new Promise((resolve) => setTimeout(resolve, 5))
    expect((await locks.runOnce('c', { every: 2 }, () => 1)).ran).to.equal(true)
    await new Promise((resolve) => setTimeout(resolve, 5))
    expect(await locks.forgetDone({ olderThan: 2 })).to.equal(2)
    expect((await locks.runOnce('b', () => 1)).ran).to.equal(true)
  })

  it('counts `every` and `olderThan` by the date of the test', async () => {
    await using locks = new InMemoryNamedLockService()
    const nightly = () => locks.runOnce('nightly', { every: '20h' }, () => 1)
    const { now } = Date
    const hoursLater = (hours: number) => (Date.now = () => now() + hours * 3_600_000)
    try {
      expect((await nightly()).ran).to.equal(true)
      hoursLater(19)
      expect((await nightly()).ran).to.equal(false)
      hoursLater(21)
      expect((await nightly()).ran).to.equal(true)
      hoursLater(21 + 24 * 31)
      expect(await locks.forgetDone({ olderThan: '30d' })).to.equal(1)
    } finally {
      Date.now = now
    }
  })

  for (const typeorm of typeorms) {
    it(`belongs to the transaction of the application's DataSource, ${typeorm.name}`, async () => {
      const dataSource = await new typeorm.module.DataSource({ type: 'sqljs' }).initialize()
      await using locks = new InMemoryNamedLockService(dataSource)
      await dataSource.query('CREATE TABLE effects (name TEXT)')
      const work = (fails: boolean) =>
        locks.runOnce('a', async (manager) => {
          await manager.query("INSERT INTO effects (name) VALUES ('a')")
          if (fails) throw new Error('no')
        })
      await rejection(work(true))
      expect((await work(false)).ran).to.equal(true)
      expect((await work(false)).ran).to.equal(false)
      expect(await dataSource.query('SELECT * FROM effects')).to.have.length(1)
      await dataSource.destroy()
    })
  }
})
