import type { LockName } from '../contract/options.js'
import { partBase } from './part-keys.js'

/** Of the dialect's rules: what the keys of permits need. */
interface PermitKeyRules {
  permitKeyFor(namespace: string | false, name: LockName, number: number): string
  literal(key: string): string
}

/** One permit on its way to the server. */
interface PermitTarget {
  readonly name: string
  readonly key: string
  readonly literal: string
  readonly exclusionKey: string
  readonly permit: number
}

/** The targets of the permits of one name: each permit is a lock of its own, with a key of its own. */
export class PermitTargets {
  /** Of a claim that waits for any of them. Until one is granted, it shows the key of the first. */
  readonly any: Omit<PermitTarget, 'permit'> & { readonly permits: PermitTargets }
  /** What stands for all of them in the keys of polling marks. Frozen, like those. */
  readonly markKey: string
  /**
   * The same for names with the same permits, and only for these. No key has a NUL: a scope may hold a permit, and not the name. Made of a
   * key of the server, and not of the mark's: where keys are numbers, the names `b` of the namespace `a` and `a.b` of none share their mark.
   */
  readonly #exclusionKey: string
  readonly #rules: PermitKeyRules
  readonly #namespace: string | false
  readonly #name: LockName
  /** By number; made when first needed. */
  readonly #targets = new Map<number, PermitTarget>()

  constructor(rules: PermitKeyRules, namespace: string | false, name: LockName) {
    this.#rules = rules
    this.#namespace = namespace
    this.#name = name
    this.markKey = `${partBase(namespace, name)}~p`
    this.#exclusionKey = `${rules.permitKeyFor(namespace, name, 0)}\0`
    const { name: text, key, literal, exclusionKey } = this.at(0)
    this.any = { name: text, key, literal, exclusionKey, permits: this }
  }

  at(number: number): PermitTarget {
    let target = this.#targets.get(number)
    if (!target) {
      const key = this.#rules.permitKeyFor(this.#namespace, this.#name, number)
      target = {
        name: String(this.#name),
        key,
        literal: this.#rules.literal(key),
        exclusionKey: this.#exclusionKey,
        permit: number,
      }
      this.#targets.set(number, target)
    }
    return target
  }

  /** Those that were needed so far. */
  get known(): readonly PermitTarget[] {
    return [...this.#targets.values()]
  }
}
