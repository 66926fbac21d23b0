import type { DataSourceLike } from '../typeorm/data-source-like.js'
import { InvalidLockNameError, NamedLockConfigurationError } from '../contract/errors.js'
import { because } from '../contract/troubleshooting.js'
import { checkName } from './lock-name.js'
import { NameUses, type NameUser } from './name-uses.js'
import { partBase } from './part-keys.js'
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
  /**
   * Where readers and writers are made of ordinary locks: the literal of a reader or a writer. The gate is the key's own lock. Without a mode
   * for questions about the name, however it is held. `base`: the beginning of the name's part keys.
   */
  partedLiteral?(mode: LockMode | undefined, key: string, base: string): string
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
  /** The literal of the gate, where readers and writers are made of ordinary locks. A writer waits for it; a reader can only poll. */
  readonly gate?: string | undefined
}

/** How many names are kept with their keys. */
const REMEMBERED = 1_000
/** The same for names that are used with a mode, or inspected: the list of locks asks for their readers, too. */
const REMEMBERED_PARTED = 200
/** The same for names with permits, which may have many keys each. */
const REMEMBERED_PERMITS = 100

/**
 * From names to keys.
 *
 * The default namespace is the database's name as the server has it, because processes may configure one database by several names
 * (in other case where the server folds it, by a pooler's alias), and one lock must have one key. Where the configured name may be
 * one of several, the server is asked before the first key is computed; until then `isSettled` is false.
 */
export class Targets implements NameUser {
  readonly #dataSource: DataSourceLike
  readonly #rules: () => KeyRules
  readonly #uses: NameUses
  #namespace: string | false | undefined
  /** The same names come again and again: their keys are computed once. */
  readonly #recent = new Map<LockName, Target>()
  readonly #recentPermits = new Map<LockName, PermitTargets>()
  /** Those of names that are used with a mode, where that makes other locks of them. */
  readonly #inModes = new Map<string, Readonly<Record<LockMode, Target>>>()
  /** The keys of the same names. */
  readonly #keysInMode = new Set<string>()
  /** Those of questions, where a name may be used with a mode or without one. */
  readonly #inspected = new Map<string, Target>()

  /** @param rules Those of the server, which may turn out to be another one than the driver's type says. */
  constructor(dataSource: DataSourceLike, settings: Settings, rules: () => KeyRules) {
    this.#dataSource = dataSource
    this.#rules = rules
    this.#namespace = settings.namespace
    this.#uses = NameUses.of(dataSource)
    this.#uses.join(this)
  }

  /** Without `exactName`, and with it once the server is known. */
  of(name: LockName, exactName: boolean, mode?: LockMode): Target {
    return mode === undefined ? this.#alone(name, exactName) : this.#inMode(name, exactName, mode)
  }

  /** For questions about a name, however callers use it. */
  inspected(name: LockName, exactName: boolean): Target {
    const rules = this.#rules()
    if (exactName || !rules.partedLiteral) return this.#alone(name, exactName)
    const text = checkName(name)
    const inspected = this.#inspected.get(text)
    if (inspected) return inspected
    const key = rules.keyFor(this.#space(), name)
    const literal = rules.partedLiteral(undefined, key, partBase(this.#space(), name))
    const target = { name: text, key, literal, exclusionKey: key, gate: rules.literal(key) }
    if (this.#namespace !== undefined) {
      if (this.#inspected.size >= REMEMBERED_PARTED) this.#inspected.clear()
      this.#inspected.set(text, target)
    }
    return target
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
    if (this.#uses.isInMode(key)) throw mixed(name, false)
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

  isInMode(key: string): boolean {
    return this.#keysInMode.has(key)
  }

  /** Asked once for each name that is used with a mode; `#recent` has no keys of its own, as most names never are. */
  isAlone(key: string): boolean {
    for (const target of this.#recent.values()) if (target.key === key) return true
    return false
  }

  /** Forgets how names were used, at the end of the service. */
  close(): void {
    this.#recent.clear()
    this.#inModes.clear()
    this.#keysInMode.clear()
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
    return [
      ...this.#recent.values(),
      ...[...this.#inModes.values()].map(({ write }) => write),
      ...this.#inspected.values(),
      ...[...this.#recentPermits.values()].flatMap((permits) => permits.known),
    ]
  }

  /** The targets of a call, in the order in which all callers acquire them; a name given twice is one. */
  ofAll(names: LockNames, exactName: boolean, mode: LockMode | undefined): readonly Target[] {
    if (!isSeveral(names)) return [this.of(names, exactName, mode)]
    if (names.length === 0) throw new InvalidLockNameError('The list of lock names is empty. Pass at least one name.')
    const targets = names.map((name) => this.of(name, exactName, mode))
    if (targets.length === 1) return targets
    const byKey = new Map<string, Target>()
    for (const target of targets) {
      const other = byKey.get(target.exclusionKey)
      if (other && other.key !== target.key) {
        throw new InvalidLockNameError(
          `Locks ${show(other.name)} and ${show(target.name)} cannot be acquired together: the server may treat them as one lock. Use names that differ in more than case, accents or width.`,
        )
      }
      byKey.set(target.exclusionKey, target)
    }
    return [...byKey.values()].sort((a, b) => (a.exclusionKey < b.exclusionKey ? -1 : 1))
  }

  #inMode(name: LockName, exactName: boolean, mode: LockMode): Target {
    const rules = this.#rules()
    if (rules.partedLiteral) return this.#ofParts(name, exactName, mode)
    const target = this.#alone(name, exactName)
    const literal = mode === 'read' && rules.sharedLiteral?.(target.literal)
    return literal ? { ...target, literal, isShared: true } : target
  }

  /** Where readers and writers are made of ordinary locks. */
  #ofParts(name: LockName, exactName: boolean, mode: LockMode): Target {
    const text = checkName(name)
    const remembered = this.#inModes.get(text)
    if (remembered && !exactName) return remembered[mode]
    const rules = this.#rules()
    if (exactName)
      throw new NamedLockConfigurationError(
        `mode: ${rules.server} has no reader locks of its own, so the library makes them of several locks, and exactName cannot name those. ` +
          'Leave one of the two out.',
      )
    const key = rules.keyFor(this.#space(), name)
    if (this.#uses.isAlone(key)) throw mixed(name, true)
    const base = partBase(this.#space(), name)
    const literalOf = (mode: LockMode): string => rules.partedLiteral?.(mode, key, base) ?? ''
    const target = { name: text, key, exclusionKey: key, gate: rules.literal(key) }
    const targets = {
      read: { ...target, literal: literalOf('read'), isShared: true },
      write: { ...target, literal: literalOf('write') },
    } as const
    if (this.#namespace !== undefined) {
      if (this.#inModes.size >= REMEMBERED_PARTED) {
        this.#inModes.clear()
        this.#keysInMode.clear()
      }
      this.#inModes.set(text, targets)
      this.#keysInMode.add(key)
    }
    return targets[mode]
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

/** With a mode and without one, a name has different locks, which do not exclude each other in all cases. */
function mixed(name: LockName, isNow: boolean): NamedLockConfigurationError {
  const [now, before] = isNow ? ['with a mode', 'without one'] : ['without a mode', 'with one']
  return new NamedLockConfigurationError(
    because(
      'mode-mixed',
      `mode: the name ${show(name)} is requested ${now}, and was requested ${before} before. On this server an ordinary lock does not wait for ` +
        "readers. Pass mode: 'write' for every caller that holds the name alone.",
    ),
  )
}
