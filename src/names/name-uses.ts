import { processWide } from '../util/process-wide.js'

/** What one service remembers of its names, as the other services of the DataSource see it. */
export interface NameUser {
  /** The name of that key is used with a mode. */
  isInMode(key: string): boolean
  /** It is used without one. */
  isAlone(key: string): boolean
}

const all = processWide('uses of names', () => new WeakMap<object, NameUses>())

/**
 * How the services of a DataSource use their names: with a mode or without one. Where readers and writers are made of ordinary locks,
 * the two do not exclude each other in all cases, so a name that is used in both ways is refused. Names are compared by their keys: `42` and
 * `42n`, or `b` in the namespace `a` and `a.b` in none, are one lock.
 *
 * Nothing is kept here but the services themselves: a name is looked for in the memory of each, and only when a service computes its
 * key. Weak: a service that is dropped without `close()` must not live as long as its DataSource.
 */
export class NameUses {
  readonly #users = new Set<WeakRef<NameUser>>()
  #isAnyInMode = false

  static of(dataSource: object): NameUses {
    let uses = all.get(dataSource)
    if (!uses) all.set(dataSource, (uses = new NameUses()))
    return uses
  }

  join(user: NameUser): void {
    for (const other of this.#users) if (!other.deref()) this.#users.delete(other)
    this.#users.add(new WeakRef(user))
  }

  /** For a name that is requested without a mode: of most DataSources no name ever has one. */
  isInMode(key: string): boolean {
    return this.#isAnyInMode && this.#some((user) => user.isInMode(key))
  }

  /** For a name that is requested with a mode. */
  isAlone(key: string): boolean {
    this.#isAnyInMode = true
    return this.#some((user) => user.isAlone(key))
  }

  #some(knows: (user: NameUser) => boolean): boolean {
    for (const reference of this.#users) {
      const user = reference.deref()
      if (user && knows(user)) return true
    }
    return false
  }
}
