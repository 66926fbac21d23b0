import type { Acquirer } from '../acquire/acquirer.js'
import type { CallTargets } from '../acquire/call-targets.js'
import { HeldLock } from '../acquire/held-lock.js'
import { timeoutErrorOf } from '../acquire/timeout-error.js'
import { NamedLockConfigurationError, NamedLockLostError } from '../contract/errors.js'
import type { LockHolder } from '../contract/lock-info.js'
import type { AcquireOptions } from '../contract/options.js'
import type { CallSettings } from '../contract/settings.js'
import { callUnder } from '../observe/tracing.js'
import { runInScope, type LockScope } from '../scope/lock-scope.js'
import { DirectPlace } from '../session/direct-place.js'
import { ask } from '../session/place.js'
import type { Sessions } from '../session/sessions.js'
import type { DataSourceLike } from '../typeorm/data-source-like.js'
import type { WorkRunner } from '../typeorm/query-runner.js'
import { show } from '../util/show.js'
import { MigrationSource } from '../work/migration-source.js'

/** Longer than any other wait: the process that runs the migrations may be building an index, and a start that times out is repeated. */
const TIMEOUT = '10m'

/** Migrations with tables of their own do not wait for each other. */
export function migrationsLock(dataSource: DataSourceLike): string {
  return `migrations:${migrationsTable(dataSource)}`
}

function migrationsTable(dataSource: DataSourceLike): string {
  const { migrationsTableName } = dataSource.options as { migrationsTableName?: unknown }
  return typeof migrationsTableName === 'string' ? migrationsTableName : 'migrations'
}

/** Splits the options into the lock's and TypeORM's. TypeORM's are not checked here: its own types say which there are. */
export function readMigrationOptions(given: unknown = {}): { lock: AcquireOptions; migrations: object } {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    throw new NamedLockConfigurationError(
      `runMigrations: the options must be an object such as { transaction: 'each' }; got ${show(given)}.`,
    )
  }
  const { timeout = TIMEOUT, signal, ...migrations } = given as AcquireOptions
  return { lock: { timeout, signal }, migrations }
}

/** `runMigrations`: TypeORM's migrations under their lock, both on one connection. */
export class Migrations {
  readonly #dataSource: DataSourceLike
  readonly #sessions: Sessions
  readonly #targets: CallTargets
  readonly #acquirer: Acquirer

  constructor(dataSource: DataSourceLike, sessions: Sessions, targets: CallTargets, acquirer: Acquirer) {
    this.#dataSource = dataSource
    this.#sessions = sessions
    this.#targets = targets
    this.#acquirer = acquirer
  }

  async run(call: CallSettings, options: object): Promise<unknown> {
    const name = migrationsLock(this.#dataSource)
    const source = new MigrationSource(this.#dataSource, this.#sessions)
    try {
      await this.#targets.ofCall(name, call, () => source)
      const lock = await this.#acquirer.obtainOn(() => source, name, call)
      if (lock instanceof HeldLock) return await this.#runUnder(lock, source, options)
      await source.connectionIsBack()
      throw timeoutErrorOf(lock, await this.#holder(source, lock.literal))
    } finally {
      await source.connectionIsBack()
      await source.end()
    }
  }

  async #runUnder(lock: HeldLock, source: MigrationSource, options: object): Promise<unknown> {
    const scope = lock.scope as LockScope
    scope.begin(lock)
    const migrating = withRunner(this.#dataSource, source.bind())
    let applied: unknown
    let failure: { readonly error: unknown } | undefined
    try {
      applied = await callUnder(lock.trace, () => runInScope(scope, () => migrating.runMigrations(options)))
    } catch (error) {
      failure = { error }
    }
    scope.end()
    let { lostError } = lock
    await lock.release()
    lostError ??= lock.lostError ?? lock.foundLost
    if (lostError) throw failure ? this.#lostInBetween(lock.name, lostError) : lostError
    if (failure) throw failure.error
    return applied
  }

  /** The migrations have failed because their connection died, and the lock was lost with it. */
  #lostInBetween(name: string, lost: Error): Error {
    const { cause = lost } = lost
    return new NamedLockLostError(
      `The lock '${name}' was lost while the migrations ran on its connection: ${cause instanceof Error ? cause.message : String(cause)} Nothing was sent after that, but the ` +
        'statement that was running then may still be carried out by the server. ' +
        `The table '${migrationsTable(this.#dataSource)}' says which migrations are complete; the next call continues after them.`,
      { cause },
    )
  }

  /** The connection that has the lock, asked for on the one that waited for it. */
  async #holder(source: MigrationSource, literal: string): Promise<LockHolder | undefined> {
    const { session } = source
    if (!session) return undefined
    const { dialect } = session
    try {
      const answer = await ask(new DirectPlace(session, source), 'holderId', literal)
      const [connectionId] = answer?.split(' ') ?? []
      if (!connectionId) return undefined
      const who = dialect.readConnection(await session.ask(dialect.describeConnection(connectionId)))
      return { connectionId, ...who }
    } catch {
      return undefined
    }
  }
}

/** The same DataSource, with one difference: what asks it for a QueryRunner gets that one. TypeORM's migrations ask once. */
function withRunner(dataSource: DataSourceLike, runner: WorkRunner): DataSourceLike {
  return Object.create(dataSource, { createQueryRunner: { value: () => runner } }) as DataSourceLike
}
