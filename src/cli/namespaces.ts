import { keyFor, keyPrefix, mayBeginWith, postgresKeyFor } from '../names/lock-name.js'
import { inspectorOf, type NamedLockService } from '../service/named-lock-service.js'
import type { LockHolder, LockInfo } from '../contract/lock-info.js'
import { describeHolder, printable } from './format.js'

/*
 * A lock that is looked for in the wrong namespace looks free. So every answer of the command line says in which namespace it looked,
 * and what is held in others, as far as the server shows it.
 */

/** What is held beside the namespace that was looked in. */
export interface OtherNamespaces {
  /** How many locks are held in each other namespace; '' stands for keys without one. Undefined where keys do not show it. */
  readonly counts?: Readonly<Record<string, number>>
  /** PostgreSQL: how many advisory locks are held in the database, whose keys are hashes. */
  readonly unknown?: number
}

/** The same name in another namespace. */
export interface Elsewhere {
  readonly namespace: string | false
  readonly holder: LockHolder
}

/** Locks of all namespaces as seen once. Nothing where the server does not show them: that is no reason for an answer to fail. */
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
    if (this.#own === false) return { counts } // without a namespace all keys are listed
    for (const { key } of this.#all) {
      if (this.#isOwn(key)) continue
      const namespace = namespaceOf(key)
      counts[namespace] = (counts[namespace] ?? 0) + 1
    }
    return { counts }
  }

  /** The others as a sentence, when these locks are shown already. */
  othersBeside(shown: readonly LockInfo[]): string {
    const others = this.others()
    return othersText(others, shown.length) || (this.#isReadable ? '' : shown.length > 0 ? HASHED : '')
  }

  /** Where else that name is held. */
  elsewhere(name: string): Elsewhere[] {
    const found: Elsewhere[] = []
    if (!this.#isReadable) {
      // A hash shows no namespace, but those that a mistake is likely to be about can be tried.
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

  #isOwn(key: string): boolean {
    return this.#own !== false && key.startsWith(keyPrefix(this.#own))
  }
}

const HASHED = "PostgreSQL's keys are hashes: these are the locks of all namespaces of this database."

/** That a lock is free, and where its name is held instead. */
export function freeText(name: string, namespaces: Namespaces, exactName = false): string {
  const free = `'${printable(name)}' is free`
  if (exactName) return `${free} (exact name, no namespace).`
  const elsewhere = elsewhereText(name, namespaces.elsewhere(name))
  return [`${free} in ${labelOf(namespaces.own)}.`, elsewhere || othersText(namespaces.others())]
    .filter(Boolean)
    .join('\n')
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

/** What stands before the first dot, as it stands in keys; '' for a key without one. */
function namespaceOf(key: string): string {
  const dot = key.indexOf('.')
  return dot < 0 ? '' : key.slice(0, dot)
}
