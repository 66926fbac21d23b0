import type { Dialect, ServerFacts, WaitFailure } from '../dialect/dialect.js'
import { readHolders, type Holders } from '../dialect/holders.js'
import type { PoolDriver } from '../dialect/pool-driver.js'
import type { Ask } from '../typeorm/raw-connection.js'
import type { LockTable } from '../dialect/lock-table.js'
import { MARKS } from '../dialect/marks.js'
import { MEMORY_DONE } from './memory-done.js'
import type { DoneRows } from '../dialect/done-rows.js'
import { checkName, keyFor } from '../names/lock-name.js'
import { permitKey } from '../names/part-keys.js'
import type { Finding } from '../contract/lock-info.js'
import type { RawConnection } from '../typeorm/raw-connection.js'
import { ServerError, SHARED, type MemoryConnection } from './memory-connection.js'
import type { MemoryServer } from './memory-server.js'
import { TestClock } from './test-clock.js'
import { wallNow } from '../util/clock.js'

/** The dialect of the in-memory server: the requests of the other dialects, as short commands instead of SQL. */
export class MemoryDialect implements Dialect {
  readonly server = 'The locks in memory'
  readonly isCertain = true
  readonly hasReadableKeys = true
  readonly keyFor = keyFor
  readonly permitKeyFor = permitKey
  readonly keepsLocksForever = true
  readonly timeLimits = new TestClock()
  readonly waitsForFree = true
  readonly pool = MEMORY_POOL
  readonly noLease = 'Locks in memory always have a lease.'
  readonly keepAlive = 'ping'
  readonly batchLimit = 400
  readonly #server: MemoryServer

  constructor(server: MemoryServer) {
    this.#server = server
  }

  /** Encoded, because spaces and commas separate requests. */
  literal(key: string): string {
    return encodeURIComponent(key)
  }

  exclusionKey(key: string): string {
    return key
  }

  exactKey(name: string | bigint): string {
    return checkName(name)
  }

  wire(connection: RawConnection): RawConnection {
    return connection
  }

  markLiteral(exclusionKey: string): string {
    return this.literal(keyFor(MARKS, exclusionKey))
  }

  /** No other statement begins with it. */
  sharedLiteral = (literal: string): string => `${SHARED}${literal}`
  take = (literal: string): string => `take ${literal}`
  takeFirst = (literals: string): string => `takeFirst ${literals}`
  takeShared = (literal: string): string => `takeShared ${literal} ${this.#writersMarkOf(literal)}`
  isWanted = (literal: string, mark: string): string => `isWanted ${literal} ${mark}`
  give = (literal: string): string => `give ${literal}`
  passTurn = (literal: string, mark: string): string => `passTurn ${literal} ${mark}`
  isFree = (literal: string): string => `isFree ${literal}`
  owns = (literal: string): string => `owns ${literal}`
  ownsFirst = (literals: string): string => `ownsFirst ${literals}`
  holderId = (literal: string): string => `holderId ${literal}`
  readHolders = (_literal: string, answer: string): Holders => readHolders(answer)
  fencingToken = (literal: string): string => `fencingToken ${literal}`
  writersMark = (exclusionKey: string): string => this.literal(keyFor(MARKS, `writers ${exclusionKey}`))
  single = (expression: string): string => `batch ${expression}`
  batch = (expressions: string): string => `batch ${expressions}`
  wait = (literal: string, mark: string, milliseconds: number): string => `wait ${literal} ${mark} ${milliseconds}`
  cancel = (connectionId: string): string => `cancel ${connectionId}`
  endConnection = (connectionId: string): string => `end ${connectionId}`
  describeConnection = (): string => 'ping'
  atWork = (): string => 'ping'
  readAtWork = (): boolean => true
  leaveNote = (text: string): string => `note ${encodeURIComponent(text)}`

  #writersMarkOf(literal: string): string {
    return this.writersMark(decodeURIComponent(literal.slice(SHARED.length)))
  }

  readBatch(rows: unknown): string[] {
    return (rows as string[][])[0] ?? []
  }

  readConnection(): undefined {
    return undefined
  }

  waitFailure(error: unknown): WaitFailure {
    const { message } = error as Error
    return message === 'cancelled' || message === 'deadlock' ? message : 'other'
  }

  async readLocks(ask: Ask): Promise<LockTable> {
    const [[rows]] = (await ask('locks')) as [[ReturnType<MemoryServer['rows']>]]
    return { rows: rows.map(({ since, ...row }) => ({ ...row, forMs: wallNow() - since })) }
  }

  async readNotes(ask: Ask): Promise<readonly string[]> {
    const [notes] = (await ask('notes')) as [string[]]
    return notes
  }

  done(): DoneRows {
    return MEMORY_DONE
  }

  check(): Promise<Finding[]> {
    return Promise.resolve([])
  }

  async open(ask: Ask, leaseMs: number): Promise<ServerFacts> {
    const [[connectionId]] = (await ask('id')) as [[string]]
    return {
      connectionId,
      identity: this.#server.id,
      startedAt: this.#server.startedAt,
      user: undefined,
      host: undefined,
      database: undefined,
      restore: 'restore',
      lease: leaseMs,
    }
  }

  destroy(connection: RawConnection): void {
    ;(connection as unknown as MemoryConnection).destroy()
  }

  isAnswer(error: unknown): boolean {
    return error instanceof ServerError
  }

  isAbandoned(): boolean {
    return false
  }

  // The work's transaction runs on another connection, of the application's DataSource.
  leavesCommitOpen(): boolean {
    return false
  }

  statusAfter(): 'none' {
    return 'none'
  }

  readonly rollBack = 'ping'

  isAftermath(): boolean {
    return false
  }

  rollbackReason(): undefined {
    return undefined
  }

  isRolledBack(): boolean {
    return false
  }
}

/** There is no pool: a connection opens at once and closes when it is released. */
const MEMORY_POOL: PoolDriver = {
  size: () => 1_000,
  watch: () => ({ isClosing: false, hasWaiters: false, stop: () => {} }),
  onEnd: () => () => {},
  ending: () => () => {},
  ownOptions: () => ({}),
}
