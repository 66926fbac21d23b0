import { MemoryConnection, ServerError } from './memory-connection.js'

export interface MemoryLock {
  readonly key: string
  readonly holder: MemoryConnection
  readonly since: number
  count: number
}

interface Waiter {
  readonly connection: MemoryConnection
  readonly since: number
  /** Settles the wait: the lock was granted, or not, or the wait was ended with an error. */
  readonly settle: (granted: boolean, error?: Error) => void
}

let servers = 0

/**
 * The named locks of one server, in memory: locks belong to connections, are counted, granted in the order of the waits, and
 * end with their connection. What the service does with them is the same as with a real server; only this is another.
 */
export class MemoryServer {
  readonly id = `in memory ${++servers}`
  readonly startedAt = Math.floor(Date.now() / 1000)
  readonly #connections = new Map<string, MemoryConnection>()
  readonly #locks = new Map<string, MemoryLock>()
  readonly #waiters = new Map<string, Waiter[]>()
  #lastId = 0
  #lastToken = BigInt(Date.now()) << 20n

  connect(): MemoryConnection {
    const connection = new MemoryConnection(this, String(++this.#lastId))
    this.#connections.set(connection.id, connection)
    return connection
  }

  holderOf(key: string): MemoryConnection | undefined {
    return this.#locks.get(key)?.holder
  }

  take(connection: MemoryConnection, key: string): boolean {
    const lock = this.#locks.get(key)
    if (lock && lock.holder !== connection) return false
    if (lock) lock.count++
    else this.#locks.set(key, { key, holder: connection, since: Date.now(), count: 1 })
    return true
  }

  /** False when it was not that connection's. */
  give(connection: MemoryConnection, key: string): boolean {
    const lock = this.#locks.get(key)
    if (lock?.holder !== connection) return false
    if (--lock.count === 0) this.#free(key)
    return true
  }

  /** Blocks the connection until the lock is its own, the time is up, or the wait is cancelled. */
  wait(connection: MemoryConnection, key: string, milliseconds: number): Promise<boolean> {
    if (this.take(connection, key)) return Promise.resolve(true)
    if (this.#closesCycle(connection, key)) return Promise.reject(new ServerError('deadlock'))
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        connection,
        since: Date.now(),
        settle: (granted, error) => {
          clearTimeout(timer)
          connection.waitsFor = undefined
          connection.cancelWait = undefined
          const queue = this.#waiters.get(key) ?? []
          if (queue.includes(waiter)) queue.splice(queue.indexOf(waiter), 1)
          if (queue.length === 0) this.#waiters.delete(key)
          if (error) reject(error)
          else resolve(granted)
        },
      }
      const timer = setTimeout(() => waiter.settle(false), Math.min(milliseconds, 2_147_483_647))
      connection.waitsFor = key
      connection.cancelWait = (error) => waiter.settle(false, error)
      const queue = this.#waiters.get(key)
      if (queue) queue.push(waiter)
      else this.#waiters.set(key, [waiter])
    })
  }

  cancel(id: string): void {
    this.#connections.get(id)?.cancelWait?.(new ServerError('cancelled'))
  }

  /** A connection that holds nothing, and may not be used again. */
  forget(connection: MemoryConnection): void {
    this.#connections.delete(connection.id)
  }

  /** Ends a connection as a server does that is told to: its locks are free at once. */
  kill(id: string): void {
    const connection = this.#connections.get(id)
    if (connection) connection.die()
  }

  /** The connection is gone, whoever ended it. */
  disconnected(connection: MemoryConnection): void {
    this.#connections.delete(connection.id)
    connection.cancelWait?.(new Error('the connection was closed'))
    this.giveAll(connection)
  }

  /** Gives back everything that connection holds. */
  giveAll(connection: MemoryConnection): void {
    for (const lock of [...this.#locks.values()]) if (lock.holder === connection) this.#free(lock.key)
  }

  /** The ids of those that are open. */
  get connections(): readonly string[] {
    return [...this.#connections.keys()]
  }

  token(): bigint {
    return ++this.#lastToken
  }

  /** Holders, and waiters in their order. */
  rows(): { key: string; isGranted: boolean; connectionId: string; since: number }[] {
    const rows = [...this.#locks.values()].map(({ key, holder, since }) => ({
      key,
      isGranted: true,
      connectionId: holder.id,
      since,
    }))
    for (const [key, queue] of this.#waiters) {
      for (const { connection, since } of queue) {
        rows.push({ key, isGranted: false, connectionId: connection.id, since })
      }
    }
    return rows
  }

  notes(): string[] {
    return [...this.#connections.values()].map(({ note }) => note).filter((note) => note !== '')
  }

  #free(key: string): void {
    this.#locks.delete(key)
    const [next] = this.#waiters.get(key) ?? []
    if (!next) return
    this.take(next.connection, key)
    next.settle(true)
  }

  #closesCycle(connection: MemoryConnection, key: string): boolean {
    const seen = new Set<MemoryConnection>()
    let holder = this.holderOf(key)
    while (holder && !seen.has(holder)) {
      if (holder === connection) return true
      seen.add(holder)
      holder = holder.waitsFor === undefined ? undefined : this.holderOf(holder.waitsFor)
    }
    return false
  }
}
