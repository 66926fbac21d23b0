import { MemoryConnection, ServerError, type Holder } from './memory-connection.js'
import { MemoryDone } from './memory-done.js'
import { LONGEST_TIMER, clearTimeout, setTimeout, wallNow } from '../util/clock.js'

interface Waiter {
  readonly connection: MemoryConnection
  readonly isShared: boolean
  readonly since: number
  /** Settles the wait: the lock was granted, the time expired, or the wait was ended with an error. */
  readonly settle: (granted: boolean, error?: Error) => void
}

let servers = 0

/**
 * The named locks of one server, in memory. Locks belong to connections, exclusively or shared among readers; they are
 * counted, granted in the order of the waits, and end with their connection. The service treats them like those of a
 * database server.
 */
export class MemoryServer {
  /** The identity that sessions compare. */
  readonly id = `in memory ${++servers}`
  /** When it was made, in seconds. */
  readonly startedAt = Math.floor(wallNow() / 1000)
  /** What `runOnce` has done. */
  readonly done = new MemoryDone()
  readonly #connections = new Map<string, MemoryConnection>()
  readonly #locks = new Map<string, Holder[]>()
  readonly #waiters = new Map<string, Waiter[]>()
  #lastId = 0
  #lastToken = BigInt(wallNow()) << 20n

  /** Opens a connection, as a session of the service does. */
  connect(): MemoryConnection {
    const connection = new MemoryConnection(this, String(++this.#lastId))
    this.#connections.set(connection.id, connection)
    return connection
  }

  /** The connections that hold the key. */
  holdersOf(key: string): readonly Holder[] {
    return this.#locks.get(key) ?? []
  }

  /** Whether the connection holds the key. */
  owns(connection: MemoryConnection, key: string, isShared: boolean): boolean {
    return this.#shareOf(connection, key, isShared) !== undefined
  }

  /** Whether a writer waits for the lock: readers that arrive now queue behind it. */
  isWantedAlone(key: string): boolean {
    return this.#waiters.get(key)?.some(({ isShared }) => !isShared) ?? false
  }

  /** Grants the key to the connection if it is free; false otherwise. */
  take(connection: MemoryConnection, key: string, isShared: boolean): boolean {
    const own = this.#shareOf(connection, key, isShared)
    if (own) own.count++
    else if (this.#isOpenTo(connection, key, isShared) && !(isShared && this.isWantedAlone(key)))
      this.#grant(connection, key, isShared)
    else return false
    return true
  }

  /** Releases one acquisition; false if the connection does not hold the lock. */
  give(connection: MemoryConnection, key: string, isShared: boolean): boolean {
    const own = this.#shareOf(connection, key, isShared)
    if (!own) return false
    if (--own.count === 0) this.#free(key, own)
    return true
  }

  /** Blocks the connection until the lock is granted, the time expires, or the wait is cancelled. */
  wait(connection: MemoryConnection, key: string, isShared: boolean, milliseconds: number): Promise<boolean> {
    if (this.take(connection, key, isShared)) return Promise.resolve(true)
    if (this.#closesCycle(connection, key)) return Promise.reject(new ServerError('deadlock'))
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        connection,
        isShared,
        since: wallNow(),
        settle: (granted, error) => {
          clearTimeout(timer)
          connection.waitsFor = undefined
          connection.cancelWait = undefined
          const queue = this.#waiters.get(key) ?? []
          if (queue.includes(waiter)) queue.splice(queue.indexOf(waiter), 1)
          if (queue.length === 0) this.#waiters.delete(key)
          if (!granted) this.#grantNext(key) // other waiters may have been behind this one only
          if (error) reject(error)
          else resolve(granted)
        },
      }
      const timer = setTimeout(() => waiter.settle(false), Math.min(milliseconds, LONGEST_TIMER))
      connection.waitsFor = key
      connection.cancelWait = (error) => waiter.settle(false, error)
      const queue = this.#waiters.get(key)
      if (queue) queue.push(waiter)
      else this.#waiters.set(key, [waiter])
    })
  }

  /** Ends the wait of that connection. */
  cancel(id: string): void {
    this.#connections.get(id)?.cancelWait?.(new ServerError('cancelled'))
  }

  /** Removes a connection that holds no lock; it may not be used again. */
  forget(connection: MemoryConnection): void {
    this.#connections.delete(connection.id)
  }

  /** Kills a connection, as `KILL` on a database server does: its locks are free at once. */
  kill(id: string): void {
    const connection = this.#connections.get(id)
    if (connection) connection.die()
  }

  /** Called when a connection is closed, from either side. */
  disconnected(connection: MemoryConnection): void {
    this.#connections.delete(connection.id)
    connection.cancelWait?.(new Error('the connection was closed'))
    this.done.rollBack(connection)
    this.giveAll(connection)
  }

  /** Releases all locks of the connection. */
  giveAll(connection: MemoryConnection): void {
    for (const [key, holders] of [...this.#locks]) {
      for (const own of holders.filter((holder) => holder.connection === connection)) this.#free(key, own)
    }
  }

  /** The ids of all open connections. */
  get connections(): readonly string[] {
    return [...this.#connections.keys()]
  }

  /** The next fencing token. */
  token(): bigint {
    return ++this.#lastToken
  }

  /** One row for each holder and each waiter, the waiters in order. */
  rows(): { key: string; isGranted: boolean; isShared: boolean; connectionId: string; since: number }[] {
    const rows = [...this.#locks].flatMap(([key, holders]) =>
      holders.map(({ connection, isShared, since }) => ({
        key,
        isGranted: true,
        isShared,
        connectionId: connection.id,
        since,
      })),
    )
    for (const [key, queue] of this.#waiters) {
      for (const { connection, since } of queue) {
        rows.push({ key, isGranted: false, isShared: false, connectionId: connection.id, since })
      }
    }
    return rows
  }

  /** The notes of all connections: the names and times of held locks. */
  notes(): string[] {
    return [...this.#connections.values()].map(({ note }) => note).filter((note) => note !== '')
  }

  #shareOf(connection: MemoryConnection, key: string, isShared: boolean): Holder | undefined {
    return this.#locks.get(key)?.find((holder) => holder.connection === connection && holder.isShared === isShared)
  }

  /** Whether the current holders allow another acquisition. Locks of the same connection never block it. */
  #isOpenTo(connection: MemoryConnection, key: string, isShared: boolean): boolean {
    return this.holdersOf(key).every((holder) => holder.connection === connection || (isShared && holder.isShared))
  }

  #grant(connection: MemoryConnection, key: string, isShared: boolean): void {
    const holder = { connection, isShared, since: wallNow(), count: 1 }
    const holders = this.#locks.get(key)
    if (holders) holders.push(holder)
    else this.#locks.set(key, [holder])
  }

  #free(key: string, holder: Holder): void {
    const left = this.holdersOf(key).filter((one) => one !== holder)
    if (left.length > 0) this.#locks.set(key, left)
    else this.#locks.delete(key)
    this.#grantNext(key)
  }

  /** Grants the lock to the next waiter, and to the readers behind it if it is a reader. */
  #grantNext(key: string): void {
    const [next] = this.#waiters.get(key) ?? []
    if (!next || !this.#isOpenTo(next.connection, key, next.isShared)) return
    this.#grant(next.connection, key, next.isShared)
    next.settle(true)
    this.#grantNext(key)
  }

  #closesCycle(connection: MemoryConnection, key: string): boolean {
    const seen = new Set<MemoryConnection>()
    const leadsBack = (wanted: string): boolean =>
      this.holdersOf(wanted).some(({ connection: holder }) => {
        if (holder === connection) return wanted !== key
        if (seen.has(holder)) return false
        seen.add(holder)
        return holder.waitsFor !== undefined && leadsBack(holder.waitsFor)
      })
    return leadsBack(key)
  }
}
