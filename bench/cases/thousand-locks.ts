import type { NamedLock, NamedLockService } from '../../src/index.js'
import type { Bench, BenchCase } from '../support/bench-case.js'
import { builtLibrary } from '../support/built-library.js'
import { openDataSource } from '../support/data-source.js'
import type { Findings } from '../support/report.js'

const held = 1000
const waiters = 1000
const awaited = 100
const database = 'named_lock_bench' // a separate one, so that its connections can be counted

async function holdAndWait(bench: Bench, locks: NamedLockService, findings: Findings): Promise<void> {
  const start = performance.now()
  const names = Array.from({ length: held }, (_, index) => `order:${index}`)
  const handles = await Promise.all(names.map((name) => locks.acquire(name)))
  findings.figure(`taking ${held} locks`, 'ms', [performance.now() - start])

  const order = new Map<string, number[]>()
  const waiting = Array.from({ length: waiters }, async (_, waiter) => {
    const name = names[waiter % awaited]!
    const lock: NamedLock<undefined> = await locks.acquire(name, { timeout: Infinity })
    const served = order.get(name) ?? []
    order.set(name, [...served, waiter])
    await lock.release()
  })

  const connections: number[] = []
  const look = async () => connections.push(await bench.observer.connections(database))
  await look()
  const perSecond = await bench.observer.statementsPerSecond(database, bench.quick ? 500 : 15_000)
  await look()
  findings.figure('statements, steady state', '1/s', [perSecond])

  const released = performance.now()
  await Promise.all(handles.map((handle) => handle.release()))
  await Promise.all(waiting)
  findings.figure(`releasing ${held} locks and serving ${waiters} waiters`, 'ms', [performance.now() - released])
  await look()

  const most = Math.max(...connections)
  findings.figure('connections on the server', '', [most])
  findings.bound('≤ 4 connections', most <= 4, String(most))
  const inOrder = [...order.values()].every((served) => served.every((w, i) => i === 0 || w > served[i - 1]!))
  findings.must('waiters served first in, first out', inOrder, `${waiters} waiters on ${order.size} names`)
}

export const thousandLocks: BenchCase = {
  name: 'thousand',
  title: `${held} held locks + ${waiters} waiters on ${awaited} of them, one process`,
  async run(bench, findings) {
    await bench.observer.execute(`DROP DATABASE IF EXISTS ${database}`)
    await bench.observer.execute(`CREATE DATABASE ${database}`)
    const dataSource = await openDataSource(bench.address, { database })
    const { NamedLockService } = builtLibrary()
    const locks = new NamedLockService(dataSource)
    try {
      await holdAndWait(bench, locks, findings)
    } finally {
      await locks.close()
      await dataSource.destroy()
      await bench.observer.execute(`DROP DATABASE ${database}`)
    }
  },
}
