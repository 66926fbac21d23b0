import type { CallTargets } from '../acquire/call-targets.js'
import type { HeldLock } from '../acquire/held-lock.js'
import type { OwningService } from '../acquire/owning-service.js'
import { guardTransaction } from '../acquire/refusals.js'
import { databaseError, notAnswered } from '../contract/database-error.js'
import { NamedLockConfigurationError, NamedLockReentrancyError } from '../contract/errors.js'
import type { LockName } from '../contract/options.js'
import type { CallSettings } from '../contract/settings.js'
import type { DoneRows, OldRow } from '../dialect/done-rows.js'
import { checkName } from '../names/lock-name.js'
import { isSeveral, type Target } from '../names/targets.js'
import { scopeHolding } from '../scope/lock-scope.js'
import { assertNoFlaw, withTable, type OwnTable } from '../session/own-table.js'
import type { Sessions } from '../session/sessions.js'
import { askIn } from '../transaction/work-ask.js'
import type { Transactions, TransactionWork } from '../transaction/transactions.js'
import type { DataSourceLike } from '../typeorm/data-source-like.js'
import type { Ask } from '../typeorm/raw-connection.js'
import { monotonicNow } from '../util/clock.js'
import { show } from '../util/show.js'
import { within } from '../util/within.js'
import { doneKey, isOfNamespace } from './done-key.js'
import { readForgetOptions, readOnceOptions, readPurgeOptions, type OnceResult } from './once-options.js'

/** How long a question about the table waits for the database at least, in milliseconds. */
const PATIENCE = 3_000
/** How often a row is looked for that can neither be written nor read: it may have been forgotten in between, but not every time. */
const MOST_CLAIMS = 5

/** What is done by work that is in no transaction. */
export interface DoneByHand {
  /** When the name was done, if not longer ago than `every` milliseconds. */
  at(name: LockName, every: number, exactName: boolean): Promise<Date | undefined>
  /** The name is done. */
  write(name: LockName, exactName: boolean): Promise<void>
}

/**
 * `runOnce`: work that is done once, whatever crashes. A row of a table says that a name is done. It is written in the transaction of the
 * work, so both are committed or neither is.
 *
 * The rule: the row decides, not the lock. It is inserted before the work begins, and its primary key lets one transaction through; the lock
 * around it spares all others the work and the wait in the middle of a transaction. A name that is done is found by one read, without both.
 */
export class Once {
  readonly #dataSource: DataSourceLike
  readonly #sessions: Sessions
  readonly #owner: OwningService
  readonly #targets: CallTargets
  readonly #transactions: Transactions
  /** The table was looked at, and is fit to be written to. */
  #isFit = false

  constructor(
    dataSource: DataSourceLike,
    sessions: Sessions,
    owner: OwningService,
    targets: CallTargets,
    transactions: Transactions,
  ) {
    this.#dataSource = dataSource
    this.#sessions = sessions
    this.#owner = owner
    this.#targets = targets
    this.#transactions = transactions
  }

  async run(
    name: LockName,
    options: unknown,
    fallback: CallSettings,
    work: TransactionWork,
  ): Promise<OnceResult<unknown>> {
    const startedAt = monotonicNow()
    const { call, every } = readOnceOptions(options, fallback)
    this.#owner.checkOpen()
    const target = await this.#target('runOnce', name, call)
    if (scopeHolding(this.#dataSource, target.exclusionKey)) throw nested('runOnce', target.name)
    guardTransaction(this.#dataSource, name, this.#owner.settings.insideTransaction)
    const rows = this.#rows()
    const key = doneKey(this.#targets.namespace, target, call.exactName)
    const doneAt = await this.#ask(call, (ask) => this.#look(ask, rows, key, every))
    if (doneAt) return { ran: false, doneAt }
    this.#owner.checkOpen()
    return this.#runNow(
      target,
      { ...call, timeout: rest(call.timeout, startedAt) },
      (ask) => this.#claim(ask, rows, key, target.name, every),
      work,
    )
  }

  /** Under the lock of the name: a run that is under way ends first, and what it writes is not removed unseen. True if the name was done. */
  async forget(name: LockName, options: unknown, fallback: CallSettings): Promise<boolean> {
    const call = readForgetOptions(options, fallback)
    this.#owner.checkOpen()
    const target = await this.#target('forget', name, call)
    if (scopeHolding(this.#dataSource, target.exclusionKey)) throw nested('forget', target.name)
    const rows = this.#rows()
    const key = doneKey(this.#targets.namespace, target, call.exactName)
    const forgotten = (_manager: unknown, lock: HeldLock): Promise<boolean> => rows.forget(askIn(lock), key)
    try {
      return (await this.#transactions.run(target.name, { ...call, session: 'dedicated' }, forgotten)) as boolean
    } catch (error) {
      if (rows.isMissing(error)) return false
      throw databaseError(`It could not be forgotten that '${target.name}' is done`, error)
    }
  }

  /** Removes the rows of this namespace that are older than that, in batches. Resolves to how many. */
  async purge(options: unknown, call: CallSettings): Promise<number> {
    const age = readPurgeOptions(options)
    this.#owner.checkOpen()
    await this.#targets.settled('forgetDone', call)
    const rows = this.#rows()
    const { keyPrefix, namespace } = this.#targets
    let removed = 0
    let last: OldRow | undefined
    do {
      const from = last
      const batch = await this.#ask(call, (ask) => rows.old(ask, keyPrefix, age, from))
      const keys = batch.filter(([key, name]) => isOfNamespace(namespace, key, name)).map(([key]) => key)
      if (keys.length > 0) removed += await this.#ask(call, (ask) => rows.purge(ask, keys, age))
      last = batch.at(-1)
      this.#owner.checkOpen()
    } while (last)
    return removed
  }

  /** For work that is in no transaction of this database, under a lock that its caller holds. */
  byHand(fallback: CallSettings): DoneByHand {
    const rows = this.#rows()
    const keyOf = async (name: LockName, call: CallSettings): Promise<string> =>
      doneKey(this.#targets.namespace, await this.#target('runOnce', name, call), call.exactName)
    return {
      at: async (name, every, exactName) => {
        const call = { ...fallback, exactName }
        const key = await keyOf(name, call)
        return this.#ask(call, (ask) => this.#look(ask, rows, key, every))
      },
      write: async (name, exactName) => {
        const call = { ...fallback, exactName }
        const key = await keyOf(name, call)
        // With 0 a row of before, longer ago than `every`, is renewed: it is never missing in between.
        await this.#ask(call, (ask) => rows.claim(ask, key, String(name), 0, true))
      },
    }
  }

  /** Reads whether the name is done. Where it is not, something is going to be written: the table has to be fit for that. */
  async #look(ask: Ask, rows: DoneRows, key: string, every: number): Promise<Date | undefined> {
    const doneAt = await rows.read(ask, key, every, true)
    if (doneAt || this.#isFit) return doneAt
    await assertNoFlaw(ask, this.#table)
    this.#isFit = true
    return undefined
  }

  async #runNow(
    target: Target,
    call: CallSettings,
    claim: (ask: Ask) => Promise<Date | undefined>,
    work: TransactionWork,
  ): Promise<OnceResult<unknown>> {
    let doneAt: Date | undefined
    let failure: unknown
    const value = await this.#transactions
      .run(target.name, call, async (manager: unknown, lock: HeldLock) => {
        doneAt = await claim(askIn(lock)).catch((error: unknown) => {
          failure = error
          throw error
        })
        return doneAt ? undefined : work(manager, lock)
      })
      .catch((error: unknown) => {
        throw error === failure ? databaseError(`It could not be written that '${target.name}' is done`, error) : error
      })
    return doneAt ? { ran: false, doneAt } : { ran: true, value }
  }

  /** Resolves to when the name was done; undefined: this call does it. */
  async #claim(ask: Ask, rows: DoneRows, key: string, name: string, every: number): Promise<Date | undefined> {
    for (let i = 0; i < MOST_CLAIMS; i++) {
      if (await rows.claim(ask, key, name, every)) return undefined
      const doneAt = await rows.read(ask, key, every)
      // None: it was forgotten in between.
      if (doneAt) return doneAt
    }
    throw new NamedLockConfigurationError(
      `done.table: the table '${this.#owner.settings.done.table}' accepted no row for '${name}', and has none: look for a constraint or a trigger of it.`,
    )
  }

  get #table(): OwnTable {
    const { create, isMissing, flaw } = this.#rows()
    return { option: 'done.table', name: this.#owner.settings.done.table, create, isMissing, flaw }
  }

  #rows(): DoneRows {
    const rows = this.#sessions.dialect.done?.(this.#owner.settings.done.table)
    if (rows) return rows
    throw new NamedLockConfigurationError('runOnce: there is no table of done names for this database.')
  }

  async #target(what: string, name: LockName, call: CallSettings): Promise<Target> {
    if (isSeveral(name)) {
      throw new NamedLockConfigurationError(`${what}: ${show(name)} is a list. It takes one name.`)
    }
    if (!call.exactName) checkName(name)
    const [target] = await this.#targets.ofCall(name, call)
    return target as Target
  }

  /** Beside all transactions. A pool without a free connection makes no caller wait forever. */
  #ask<T>(call: CallSettings, use: (ask: Ask) => Promise<T>): Promise<T> {
    const own = this.#table
    const table = own.name
    const asked = this.#sessions.inspect((ask) => withTable(ask, own, () => use(ask)))
    return within(
      asked.catch((error: unknown) => {
        throw databaseError(`The table '${table}' could not be queried`, error)
      }),
      Math.max(call.timeout, PATIENCE),
      call.signal,
      () => notAnswered(`The table '${table}' could not be queried`, this.#sessions.obstacle),
    )
  }
}

function rest(timeout: number, startedAt: number): number {
  return timeout === 0 ? 0 : Math.max(1, timeout - (monotonicNow() - startedAt))
}

function nested(call: string, name: string): NamedLockReentrancyError {
  return new NamedLockReentrancyError(
    `${call}: lock '${name}' is already held by the running scope. The row that marks '${name}' as done belongs to one transaction. ` +
      `Call ${call} outside the work under that lock.`,
  )
}
