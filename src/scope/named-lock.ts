import type { EntityManager } from 'typeorm'
import { NamedLockError, NamedLockLostError } from '../contract/errors.js'
import { findHeld } from './lock-scope.js'
import { recognisedAcrossCopies } from '../util/across-copies.js'

/**
 * A held lock: the result of `acquire`, and the argument of work. Abstract, because only the library creates locks;
 * `instanceof NamedLock` works.
 */
export abstract class NamedLock<out Manager = EntityManager | undefined> {
  /** The names as the caller gave them. */
  abstract readonly names: readonly string[]
  /** The keys of the names on the server. */
  abstract readonly keys: readonly string[]
  /** Works on the lock's own connection; undefined unless the lock was acquired with `session: 'dedicated'` or by `transaction`. */
  abstract readonly manager: Manager
  /** Aborted with the NamedLockLostError when the lock is lost. Pass it to everything that the work waits for. */
  abstract readonly signal: AbortSignal
  /** False once the lock was released or lost. Compares clocks and sends nothing: correct also in a process that was frozen. */
  abstract readonly isHeld: boolean

  /** Which permit it is, from 0, with the option `permits`; undefined otherwise. A port, a shard or a token can be picked by it. */
  get permit(): number | undefined {
    return undefined
  }

  /** The only name, or all of them joined by `', '`. */
  get name(): string {
    return this.names.join(', ')
  }

  /** The only key, or all of them joined by `', '`. */
  get key(): string {
    return this.keys.join(', ')
  }

  /** Asks the server whether the lock is still held; false after a release or a loss. */
  abstract verify(): Promise<boolean>

  /**
   * A number that rises from holder to holder, so that a write can refuse those of earlier holders. Taken on the connection
   * that holds the lock.
   *
   * @throws A {@link NamedLockLostError}: The lock is not held any more.
   */
  abstract fencingToken(): Promise<bigint>

  /** Releases the lock. Calling it again does nothing. */
  abstract release(): Promise<void>

  [Symbol.asyncDispose](): Promise<void> {
    return this.release()
  }

  /** The lock that the running scope (`withLock`, `transaction`, a decorated method) holds: the innermost, or the one of that name. */
  static current(name?: string): NamedLock | undefined {
    return findHeld(name) as NamedLock | undefined
  }

  /**
   * The lock of that name which the running scope holds.
   *
   * @throws A {@link NamedLockError}: It holds none (`NOT_HELD`).
   * @throws A {@link NamedLockLostError}: It was lost.
   *
   * @example
   * const lock = NamedLock.assertHeld(`order:${id}`)
   * await charge(lock.signal)
   */
  static assertHeld(name: string): NamedLock {
    const lock = findHeld(name) as NamedLock | undefined
    if (!lock) {
      throw new NamedLockError(
        `Lock '${name}' is not held here. Call this inside withLock('${name}', …) or a method with @WithNamedLock('${name}').`,
        { code: 'NOT_HELD' },
      )
    }
    if (!lock.isHeld) throw new NamedLockLostError(`Lock '${name}' was lost. Another caller may hold it now.`)
    return lock
  }
}

recognisedAcrossCopies(NamedLock, 'NamedLock')
