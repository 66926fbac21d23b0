import { MOST_PERMITS, partBase, postgresPermitKey, readPartKey } from '../names/part-keys.js'
import { keyFor, keyPrefix, mayBeginWith, postgresKeyFor } from '../names/lock-name.js'
import { inspectorOf, type NamedLockService } from '../service/named-lock-service.js'
import type { LockHolder, LockInfo } from '../contract/lock-info.js'
import { describeHolder, printable } from './format.js'

/*
 * In the wrong namespace, every lock looks free. Each answer of the command line therefore names its namespace, and the
 * locks held in other namespaces as far as the server shows them.
 */

/** The locks held outside the namespace of the answer. */
export interface OtherNamespaces {
  /**
   * The number of locks held in each other namespace; '' stands for keys without one. Undefined if keys do not contain
   * it.
   */
  readonly counts?: Readonly<Record<string, number>>
  /** PostgreSQL, where keys are hashes: the number of advisory locks held in the database. */
  readonly unknown?: number
}

/** The same name in another namespace. */
export interface Elsewhere {
  readonly namespace: string | false
  readonly holder: LockHolder
}

/**
 * A snapshot of the locks of all namespaces. It is empty if the server does not show them, because the command's own
 * answer must not fail for that.
 */
export class Namespaces {
  readonly #own: string | false
  readonly #database: string | undefined
  readonly #isReadable: boolean
  readonly #all: readonly LockInfo[]

  private constructor(locks: NamedLockService, all: readonly LockInfo[]) {
    const { type, database } = locks.dataSource.options as { type: string; database?: unknown }
    this.#own = inspectorOf(locks).namespace
    this.#isReadable = type !== 'postgres'
    this.#database = typeof database === 'string' ? database : locks.dataSource.driver.database
    this.#all = all
  }

  static async look(locks: NamedLockService): Promise<Namespaces> {
    const all = await inspectorOf(locks)
      .listEverywhere()
      .catch(() => [])
    return new Namespaces(locks, all)
  }

  get own(): string | false {
    return this.#own
  }

  others(): OtherNamespaces {
    if (!this.#isReadable) return { unknown: this.#all.length }
    const counts: Record<string, number> = {}
    if (this.#own === false) return { counts } // without a namespace, the command's own list has all keys
    for (const { key } of this.#all) {
      if (this.#isOwn(key)) continue
      const namespace = namespaceOf(key)
      counts[namespace] = (counts[namespace] ?? 0) + 1
    }
    return { counts }
  }

  /** The sentence about other namespaces, below a list that shows these locks. */
  othersBeside(shown: readonly LockInfo[]): string {
    const others = this.others()
    return othersText(others, shown.length) || (this.#isReadable ? '' : shown.length > 0 ? HASHED : '')
  }

  /** The other namespaces in which the name is held. */
  elsewhere(name: string): Elsewhere[] {
    const found: Elsewhere[] = []
    if (!this.#isReadable) {
      // A hash contains no namespace, so only the two likely mistakes are tried.
      for (const namespace of [this.#database, false] as const) {
        if (namespace === undefined || namespace === this.#own) continue
        const key = String(postgresKeyFor(namespace, name))
        const info = this.#all.find((one) => one.key === key)
        if (info) found.push({ namespace, holder: info.holder })
      }
      return found
    }
    for (const { key, name: noted, holder } of this.#all) {
      if (this.#isOwn(key)) continue
      const namespace = namespaceOf(key)
      if (keyFor(false, name) === key) {
        if (this.#own !== false) found.push({ namespace: false, holder })
      } else if (
        namespace !== '' &&
        (keyFor(namespace, name) === key || (noted === name && mayBeginWith(namespace, key, name)))
      ) {
        found.push({ namespace, holder })
      }
    }
    return found
  }

  /** How many permits of the name are held here. They are locks of their own: the name itself is free meanwhile. */
  permitsOf(name: string): number {
    if (this.#isReadable) {
      const base = partBase(this.#own, name)
      return this.#all.filter(({ key }) => {
        const part = readPartKey(key)
        return part?.kind === 'p' && part.base === base
      }).length
    }
    if (this.#all.length === 0) return 0
    const keys = new Set(this.#all.map(({ key }) => key))
    let held = 0
    for (let i = 0; i < MOST_PERMITS; i++) if (keys.has(String(postgresPermitKey(this.#own, name, i)))) held++
    return held
  }

  #isOwn(key: string): boolean {
    return this.#own !== false && key.startsWith(keyPrefix(this.#own))
  }
}

const HASHED = "PostgreSQL's keys are hashes: these are the locks of all namespaces of this database."

/** States that a lock is free, whether permits of its name are held, and in which other namespaces the name is. */
export function freeText(name: string, namespaces: Namespaces, exactName = false): string {
  const free = `'${printable(name)}' is free`
  if (exactName) return `${free} (exact name, no namespace).`
  const elsewhere = elsewhereText(name, namespaces.elsewhere(name))
  const hint = permitsText(name, namespaces.permitsOf(name)) || elsewhere || othersText(namespaces.others())
  return [`${free} in ${labelOf(namespaces.own)}.`, hint].filter(Boolean).join('\n')
}

/** `2 permits of 'pool' are held: pass --permits <number> for them.` */
function permitsText(name: string, held: number): string {
  if (held === 0) return ''
  const what = held === 1 ? '1 permit' : `${held} permits`
  return `${what} of '${printable(name)}' ${held === 1 ? 'is' : 'are'} held: pass --permits <number> for ${held === 1 ? 'it' : 'them'}.`
}

/** `namespace 'billing'`, or `no namespace`. */
export function labelOf(namespace: string | false): string {
  return namespace === false ? 'no namespace' : `namespace '${printable(namespace)}'`
}

/** `3 locks in other namespaces: billing (2), shop (1). Pass --namespace <text> to look there.` */
export function othersText({ counts, unknown }: OtherNamespaces, shown = 0): string {
  if (unknown !== undefined) {
    if (unknown <= shown) return ''
    const what = unknown === 1 ? '1 advisory lock is' : `${unknown} advisory locks are`
    return `${what} held in this database. PostgreSQL's keys are hashes, so they do not show names or namespaces.`
  }
  const all = Object.entries(counts ?? {}).sort(([, a], [, b]) => b - a)
  if (all.length === 0) return ''
  const total = all.reduce((sum, [, count]) => sum + count, 0)
  const each = all.map(([namespace, count]) => `${namespace === '' ? 'none' : printable(namespace)} (${count})`)
  return `${total} lock${total === 1 ? '' : 's'} in other namespaces: ${each.join(', ')}. Pass --namespace <text> or --no-namespace to look there.`
}

/** `'nightly' is held in namespace 'billing' by …: pass --namespace billing.` */
export function elsewhereText(name: string, elsewhere: readonly Elsewhere[]): string {
  return elsewhere
    .map(({ namespace, holder }) => {
      const flag = namespace === false ? '--no-namespace' : `--namespace ${printable(namespace)}`
      return `'${printable(name)}' is held in ${labelOf(namespace)} by ${describeHolder(holder)}: pass ${flag} to use that lock.`
    })
    .join('\n')
}

/** The part of a key before the first dot; '' for a key without a namespace. */
function namespaceOf(key: string): string {
  const dot = key.indexOf('.')
  return dot < 0 ? '' : key.slice(0, dot)
}
