import type { DataSource } from 'typeorm'
import type { ServerAddress } from '../../dev/servers/index.js'
import type { NamedLock, NamedLockService } from '../../src/index.js'
import { builtLibrary } from '../support/built-library.js'
import { openDataSource } from '../support/data-source.js'
import { serveJobs } from '../support/serve-jobs.js'

export interface Growth {
  readonly before: number
  readonly after: number
}

let dataSource: DataSource
let locks: NamedLockService

/** Bytes in use after repeated garbage collections: one collection may make more garbage collectable. */
function heapInUse(): number {
  for (let pass = 0; pass < 4; pass++) global.gc!()
  return process.memoryUsage().heapUsed
}

const nextTurn = () => new Promise((resolve) => setTimeout(resolve, 50))

serveJobs({
  async open(address: ServerAddress) {
    dataSource = await openDataSource(address)
    locks = new (builtLibrary().NamedLockService)(dataSource, { maxLocks: 20_000 })
    await locks.withLock('warm', () => undefined)
  },

  /** Bytes per held lock, including the copies of names that the library keeps. */
  async perHeldLock(count: number) {
    const names = Array.from({ length: count }, (_, index) => `order:${index}`)
    const before = heapInUse()
    const handles = await Promise.all(names.map((name) => locks.acquire(name)))
    const bytes = (heapInUse() - before) / count
    await Promise.all(handles.map((handle) => handle.release()))
    return bytes
  },

  /** Bytes per waiting caller, including its promise. */
  async perWaiter(count: number) {
    const lock = await locks.acquire('stock:7')
    const before = heapInUse()
    const waiting: Promise<NamedLock<undefined>>[] = []
    for (let waiter = 0; waiter < count; waiter++) waiting.push(locks.acquire('stock:7', { timeout: '60s' }))
    await nextTurn()
    const bytes = (heapInUse() - before) / count
    await lock.release()
    for (const next of waiting) await (await next).release()
    return bytes
  },

  /** A hundred callers; every second cycle uses a new name, the others share fifty names. */
  async cycles(count: number): Promise<Growth> {
    let cycle = 0
    const run = async (until: number) => {
      const caller = async () => {
        while (cycle < until) {
          const index = cycle++
          const name = index % 2 ? `once:${index}` : `again:${index % 50}`
          await locks.withLock(name, () => undefined)
        }
      }
      await Promise.all(Array.from({ length: 100 }, caller))
      await nextTurn()
    }
    await run(Math.ceil(count / 5))
    const before = heapInUse()
    await run(Math.ceil(count / 5) + count)
    return { before, after: heapInUse() }
  },

  async close() {
    await locks.close()
    await dataSource.destroy()
  },
})
