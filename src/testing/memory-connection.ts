import { EventEmitter } from 'node:events'
import { READERS } from '../dialect/holders.js'
import type { RawCallback, RawConnection } from '../typeorm/raw-connection.js'
import { queueMicrotask } from '../util/clock.js'
import type { MemoryDone } from './memory-done.js'

/** An error sent by the server. Unlike errors of the connection, it proves that the server is alive. */
export class ServerError extends Error {}

/** The prefix of the literals of reader locks. */
export const SHARED = '@'

/** One connection's share in a lock. */
export interface Holder {
  readonly connection: MemoryConnection
  readonly isShared: boolean
  readonly since: number
  count: number
}

/** The in-memory server as its connections see it. */
export interface MemoryLocks {
  holdersOf(key: string): readonly Holder[]
  owns(connection: MemoryConnection, key: string, isShared: boolean): boolean
  isWantedAlone(key: string): boolean
  take(connection: MemoryConnection, key: string, isShared: boolean): boolean
  give(connection: MemoryConnection, key: string, isShared: boolean): boolean
  wait(connection: MemoryConnection, key: string, isShared: boolean, milliseconds: number): Promise<boolean>
  cancel(id: string): void
  kill(id: string): void
  forget(connection: MemoryConnection): void
  disconnected(connection: MemoryConnection): void
  token(): bigint
  readonly done: MemoryDone
  rows(): readonly object[]
  notes(): string[]
}

/** A connection to an in-memory server: one statement at a time, in order, each answered in a later microtask. */
export class MemoryConnection implements RawConnection {
  /** The key of the lock that this connection is blocked for; set by the server during a wait. */
  waitsFor: string | undefined
  cancelWait: ((error: Error) => void) | undefined
  note = ''
  readonly #server: MemoryLocks
  readonly #onClosed: (() => void)[] = []
  readonly #emitter = new EventEmitter().setMaxListeners(0)
  #last: Promise<unknown> = Promise.resolve()
  #isOpen = true

  constructor(
    server: MemoryLocks,
    readonly id: string,
  ) {
    this.#server = server
  }

  /** The connection itself, for callers that have a proxy of it. */
  get itself(): MemoryConnection {
    return this
  }

  get isOpen(): boolean {
    return this.#isOpen
  }

  query(statement: string | { sql: string }, callback: RawCallback): void {
    const sql = typeof statement === 'string' ? statement : statement.sql
    this.#last = this.#last.then(() => this.#answer(sql, callback))
  }

  on(event: 'end' | 'error', listener: (error?: unknown) => void): void {
    this.#emitter.on(event, listener)
  }

  removeListener(event: 'end' | 'error', listener: (error?: unknown) => void): void {
    this.#emitter.removeListener(event, listener)
  }

  /** Calls `listener` when the connection ends, from either side, so that work on it can end too. */
  whenClosed(listener: () => void): void {
    this.#onClosed.push(listener)
  }

  /** Closes the connection from the client's side: no `end` event is emitted. */
  destroy(): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    this.#server.disconnected(this)
    for (const listener of this.#onClosed) listener()
  }

  /** Closes the connection from the server's side. */
  die(): void {
    if (!this.#isOpen) return
    this.destroy()
    this.#emitter.emit('end')
  }

  async #answer(sql: string, callback: RawCallback): Promise<void> {
    let rows: unknown
    let failure: Error | null = null
    try {
      if (!this.#isOpen) throw new Error('the connection is closed')
      rows = [await this.#run(sql)]
    } catch (error) {
      failure = error as Error
    }
    // In a microtask of its own: the connection must not catch an error thrown by the callback.
    queueMicrotask(() => callback(failure, rows))
  }

  /** `command argument argument…`; the arguments have no spaces in them. */
  #run(sql: string): unknown[] | Promise<unknown[]> {
    const [command, ...args] = sql.split(' ')
    switch (command) {
      case 'done':
        return this.#server.done.answer(this, args)
      case 'batch':
        return sql
          .slice('batch '.length)
          .split(',')
          .map((expression) => this.#evaluate(expression))
      case 'wait':
        return this.#wait(args)
      case 'cancel':
        this.#server.cancel(args[0] as string)
        return []
      case 'end':
        this.#server.kill(args[0] as string)
        return []
      case 'note':
        this.note = decodeURIComponent(args[0] ?? '')
        return []
      case 'id':
        return [this.id]
      case 'ping':
        return ['1']
      case 'restore':
        this.#server.forget(this)
        return []
      case 'locks':
        return [this.#server.rows()]
      case 'notes':
        return this.#server.notes()
      default:
        throw new ServerError(`The in-memory server does not support the statement '${sql}'.`)
    }
  }

  #evaluate(expression: string): string {
    const [request, ...literals] = expression.split(' ')
    const [literal = '', mark = ''] = literals
    const { key, isShared } = lockOf(literal)
    const isMarked = (): boolean => server.holdersOf(lockOf(mark).key).length > 0
    const server = this.#server
    const bit = (yes: boolean): string => (yes ? '1' : '0')
    switch (request) {
      case 'take':
        return bit(server.take(this, key, isShared))
      case 'takeShared':
        return bit(!isMarked() && server.take(this, key, isShared))
      case 'takeFirst':
        return String(literals.findIndex((one) => server.take(this, lockOf(one).key, false)) + 1)
      case 'ownsFirst':
        return String(literals.findIndex((one) => server.owns(this, lockOf(one).key, false)) + 1)
      case 'give':
        return bit(server.give(this, key, isShared))
      case 'passTurn': {
        const given = bit(server.give(this, key, isShared))
        return `${given}/${isMarked() ? '-1' : bit(server.take(this, key, isShared))}`
      }
      case 'isFree':
        return bit(!server.holdersOf(key).some((holder) => !isShared || !holder.isShared))
      case 'isWanted':
        return bit(server.isWantedAlone(key) || isMarked())
      case 'owns':
        return bit(server.owns(this, key, isShared))
      case 'holderId':
        return holdersOf(server.holdersOf(key))
      case 'fencingToken':
        return server.owns(this, key, isShared) ? String(server.token()) : ''
      default:
        throw new ServerError(`The in-memory server does not support the request '${request}'.`)
    }
  }

  async #wait([literal = '', mark = '', milliseconds = '0']: string[]): Promise<unknown[]> {
    if (this.#server.holdersOf(lockOf(mark).key).length > 0) return ['-1']
    const { key, isShared } = lockOf(literal)
    return [(await this.#server.wait(this, key, isShared, Number(milliseconds))) ? '1' : '0']
  }
}

function holdersOf(holders: readonly Holder[]): string {
  const ids = [...new Set(holders.map(({ connection }) => connection.id))]
  return (ids.length > 0 && holders.every(({ isShared }) => isShared) ? [READERS, ...ids] : ids).join(' ')
}

function lockOf(literal: string): { key: string; isShared: boolean } {
  const isShared = literal.startsWith(SHARED)
  return { key: decodeURIComponent(isShared ? literal.slice(SHARED.length) : literal), isShared }
}
