import { expect } from 'chai'
import { finishChildren, startChild } from './child.js'
import {
  expectNoConnections,
  expectNoListeners,
  expectNoLocks,
  expectNoUnhandledRejections,
  Resources,
  watchRejections,
} from './leaks.js'
import { advisoryKey } from './pg-client.js'
import { randomName } from './random-name.js'
import { rejection } from './rejection.js'
import { connectRoot, dialectKinds, sharedServer } from './servers.js'
import { SqlClient } from './sql-client.js'

/** The leak checks of the conformance suite must be able to fail. */
describe('leak checks', () => {
  for (const kind of dialectKinds) {
    it(`find locks, waits and connections on ${kind}`, async function () {
      this.timeout(600_000)
      const outsider = await connectRoot(kind)
      const database = randomName('nl')
      await outsider.query(`CREATE DATABASE ${database}`)
      const clients = [0, 1].map(async () => SqlClient.connect(await sharedServer(kind), database, false))
      const [holder, waiter] = (await Promise.all(clients)) as [SqlClient, SqlClient]
      await expectNoLocks(outsider, database)
      await holder.getLock('left')
      const waiting = waiter.getLock('left', 20)
      const [locks, connections] = await Promise.all([
        rejection(expectNoLocks(outsider, database)),
        rejection(expectNoConnections(outsider, database)),
      ])
      const key = kind === 'postgres' ? advisoryKey('left') : 'left'
      expect(locks.message).to.include(`${key} (GRANTED, connection ${holder.id})`)
      expect(locks.message).to.include(`${key} (PENDING, connection ${waiter.id})`)
      expect(connections.message).to.include(`${holder.id} (${kind === 'postgres' ? 'idle' : 'Sleep'}`)
      await holder.end()
      expect(await waiting).to.equal(true)
      await waiter.end()
      await expectNoLocks(outsider, database)
      await expectNoConnections(outsider, database)
      await outsider.dropDatabase(database)
      await outsider.end()
    })
  }

  it('find timers of this process', async () => {
    await new Promise((resolve) => setImmediate(resolve))
    const resources = new Resources()
    await resources.expectNoMore()
    const timer = setTimeout(() => undefined, 60_000)
    expect((await rejection(resources.expectNoMore())).message).to.include('1 timers')
    clearTimeout(timer)
    await resources.expectNoMore()
  })

  it('find listeners on signals', () => {
    const { signal } = new AbortController()
    const listener = () => undefined
    signal.addEventListener('abort', listener)
    expect(() => expectNoListeners([signal])).to.throw('1 listeners')
    signal.removeEventListener('abort', listener)
    expectNoListeners([signal])
  })

  it('find unhandled rejections', async () => {
    watchRejections()
    void Promise.reject(new Error('left alone'))
    expect((await rejection(expectNoUnhandledRejections())).message).to.include('left alone')
    await expectNoUnhandledRejections()
  })

  it('find failures in child processes', async function () {
    this.timeout(60_000)
    const child = startChild('use-and-leave.ts', {
      typeorm: 'typeorm',
      name: 'x',
      dataSource: { type: 'mysql', port: 1 },
    })
    expect((await child.exited).code).to.equal(1)
    expect((await rejection(finishChildren())).message).to.include('ECONNREFUSED')
    await finishChildren()
  })
})
