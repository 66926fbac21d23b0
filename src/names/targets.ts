import type { DataSourceLike } from '../typeorm/data-source-like.js'
import { InvalidLockNameError, NamedLockConfigurationError } from '../contract/errors.js'
import { checkName } from './lock-name.js'
import type { LockMode, LockName, LockNames } from '../contract/options.js'
import { PermitTargets } from './permit-targets.js'
import type { Ask } from '../typeorm/raw-connection.js'
import { singleValue } from '../typeorm/raw-connection.js'
import { databaseOf } from '../typeorm/database-of.js'
import type { Settings } from '../contract/settings.js'
import { show } from '../util/show.js'

/** How a server names its locks. Every dialect has these rules. */
export interface KeyRules {
  /** The server as its users call it. */
  readonly server: string
  /** The key of a name in a namespace. */
  keyFor(namespace: string | false, name: LockName): string
  /** The key of a permit of a name: see part-keys.ts. */
  permitKeyFor(namespace: string | false, name: LockName, number: number): string
  /** A key as it stands in SQL. */
  literal(key: string): string
  /** The same for a reader lock: many readers hold it together, but never with a writer. Undefined where the server has none. */
  sharedLiteral?(literal: string): string
  /** The text by which callers of an exact name exclude each other: the same for all keys that the server may fold together. */
  exclusionKey(key: string): string
  /** The key of an exact name, or an InvalidLockNameError for what this server would refuse. */
  exactKey(name: string | bigint): string

  /**
   * The question for the one name of a database that may be configured by several; undefined where the configured name is sure to
   * be that name.
   */
  nameOfDatabase?(configured: string | undefined): string | undefined
}

/** A name on its way to the server. */
export interface Target {
  readonly name: string
  readonly key: string
  /** The key as it stands in SQL. */
  readonly literal: string
  /** Callers with the same one exclude each other in this process. */
  readonly exclusionKey: string
  /** Which permit of its name it is. */
  readonly permit?: number | undefined
  /** Of a claim that waits for a permit: all of them. */
  readonly permits?: PermitTargets | undefined
  /** Of a reader: many hold the lock together. */
  readonly isShared?: true | undefined
}

/** How many names are kept with their keys. */
const REMEMBERED = 1_000
/** The same for names with permits, which may have many keys each. */
const REMEMBERED_PERMITS = 100

/**
 * From names to keys.
 *
 * The default namespace is the database's name as the server has it, because processes may configure one database by several names
 * (in other case where the server folds it, by a pooler's alias), and one lock must have one key. Where the configured name may be
 * one of several, the server is asked before the first key is computed; until then `isSettled` is false.
 */
export class Targets {
  readonly #dataSource: DataSourceLike
  readonly #rules: () => KeyRules
  #namespace: string | false | undefined
  /** The same names come again and again: their keys are computed once. */
  readonly #recent = new Map<LockName, Target>()
  readonly #recentPermits = new Map<LockName, PermitTargets>()

  /** @param rules Those of the server, which may turn out to be another one than the driver's type says. */
  constructor(dataSource: DataSourceLike, settings: Settings, rules: () => KeyRules) {
    this.#dataSource = dataSource
    this.#rules = rules
    this.#namespace = settings.namespace
  }

  /** Without `exactName`, and with it once the server is known. */
  of(name: LockName, exactName: boolean, mode?: LockMode): Target {
    const target = this.#alone(name, exactName)
    return mode === undefined ? target : this.#inMode(target, mode)
  }

  #alone(name: LockName, exactName: boolean): Target {
    const rules = this.#rules()
    if (exactName) {
      const key = rules.exactKey(name)
      return {
        name: checkName(name),
        key,
        literal: rules.literal(key),
        exclusionKey: rules.exclusionKey(key),
      }
    }
    const recent = this.#recent.get(name)
    if (recent) return recent
    const key = rules.keyFor(this.#space(), name)
    const target = {
      name: typeof name === 'string' ? name : String(name),
      key,
      literal: rules.literal(key),
      exclusionKey: key,
    }
    if (this.#namespace !== undefined) {
      if (this.#recent.size >= REMEMBERED) this.#recent.clear()
      this.#recent.set(name, target)
    }
    return target
  }

  /** The target of a call that wants any of the permits of a name. */
  ofPermits(name: LockName): Target {
    let permits = this.#recentPermits.get(name)
    if (!permits) {
      permits = new PermitTargets(this.#rules(), this.#space(), name)
      if (this.#namespace !== undefined) {
        if (this.#recentPermits.size >= REMEMBERED_PERMITS) this.#recentPermits.clear()
        this.#recentPermits.set(name, permits)
      }
    }
    return permits.any
  }

  /** False until the server has answered the question for the database's name, where that has to be known first. */
  get isSettled(): boolean {
    return this.#namespace !== undefined || this.#question === undefined
  }

  /** Asks the server for the database's name. */
  async settle(ask: Ask): Promise<void> {
    const question = this.#question
    if (this.#namespace !== undefined || question === undefined) return
    const name = singleValue(await ask(question))
    this.#namespace ??= name ?? databaseOf(this.#dataSource) ?? false
  }

  get #question(): string | undefined {
    return this.#rules().nameOfDatabase?.(databaseOf(this.#dataSource))
  }

  /** The beginning of the service's keys. */
  get namespace(): string | false {
    return this.#space()
  }

  /** The targets of names that were requested lately. */
  get known(): Iterable<Target> {
    return [...this.#recent.values(), ...[...this.#recentPermits.values()].flatMap((permits) => permits.known)]
  }

  /** The targets of a call, in the order in which all callers acquire them; a name given twice is one. */
  ofAll(names: LockNames, exactName: boolean, mode: LockMode | undefined): readonly Target[] {
    if (!isSeveral(names)) return [this.of(names, exactName, mode)]
    if (names.length === 0) throw new InvalidLockNameError('No name was given: the list of names is empty.')
    const targets = names.map((name) => this.of(name, exactName, mode))
    if (targets.length === 1) return targets
    const byKey = new Map<string, Target>()
    for (const target of targets) {
      const other = byKey.get(target.exclusionKey)
      if (other && other.key !== target.key) {
        throw new InvalidLockNameError(
          `${show(other.name)} and ${show(target.name)} cannot be acquired together: the server may take them for one lock. Use names that differ in more than case, accents or width.`,
        )
      }
      byKey.set(target.exclusionKey, target)
    }
    return [...byKey.values()].sort((a, b) => (a.exclusionKey < b.exclusionKey ? -1 : 1))
  }

  #inMode(target: Target, mode: LockMode): Target {
    const rules = this.#rules()
    const literal = rules.sharedLiteral?.(target.literal)
    if (literal !== undefined) return mode === 'write' ? target : { ...target, literal, isShared: true }
    throw new NamedLockConfigurationError(
      `mode: ${rules.server} has no reader locks; leave the option out for an ordinary lock.`,
    )
  }

  #space(): string | false {
    if (this.#namespace !== undefined) return this.#namespace
    const database = databaseOf(this.#dataSource) ?? false
    // Before the DataSource is initialised only its configuration has the name, and may leave it out.
    if (this.#dataSource.isInitialized && this.#question === undefined) this.#namespace = database
    return database
  }
}

/** The names as the handle shows them. */
export function namesOf(names: LockNames): string[] {
  return isSeveral(names) ? names.map(String) : [String(names)]
}

export function isSeveral(names: LockNames): names is readonly LockName[] {
  return Array.isArray(names)
}
