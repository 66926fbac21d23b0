import type { LockName, LockNames } from '../contract/options.js'
import type { CallSettings } from '../contract/settings.js'
import type { Inspector } from '../inspect/inspector.js'
import { keyPrefix } from '../names/lock-name.js'
import { isSeveral, type Target, type Targets } from '../names/targets.js'
import { TRY_PATIENCE } from '../queue/claim.js'
import type { Sessions } from '../session/sessions.js'
import type { RunnerLike } from '../typeorm/raw-connection.js'
import { within } from '../util/within.js'
import type { OwningService } from './owning-service.js'
import type { Settling } from './settling.js'
import { permitsOfSeveral } from './refusals.js'
import { unsettledError } from './timeout-error.js'

/**
 * From the names of a call to its targets, also where the server has to be asked something first: for the name of the database, or
 * with `exactName` for its kind.
 */
export class CallTargets {
  readonly #targets: Targets
  readonly #settling: Settling
  readonly #sessions: Sessions
  readonly #inspector: Inspector
  readonly #owner: OwningService

  constructor(targets: Targets, settling: Settling, sessions: Sessions, inspector: Inspector, owner: OwningService) {
    this.#targets = targets
    this.#settling = settling
    this.#sessions = sessions
    this.#inspector = inspector
    this.#owner = owner
  }

  /** Nothing has to be asked any more: `of` knows the keys of all names but exact ones. */
  get isSettled(): boolean {
    return this.#targets.isSettled
  }

  /** The namespace of the keys, once it is settled. */
  get namespace(): string | false {
    return this.#targets.namespace
  }

  /** The beginning of all keys of the namespace that show it. */
  get keyPrefix(): string {
    return keyPrefix(this.#targets.namespace)
  }

  of(name: LockName, { mode, permits }: CallSettings): Target {
    return permits === undefined ? this.#targets.of(name, false, mode) : this.#targets.ofPermits(name)
  }

  /**
   * The targets of a call, in the order in which all callers take them.
   *
   * @param runner The QueryRunner of a transaction, which has to ask on its own connection: it must not wait for another one of the pool.
   * @throws NamedLockTimeoutError when the server does not answer within the call's timeout.
   */
  async ofCall(
    names: LockNames,
    call: CallSettings,
    runner?: () => Pick<RunnerLike, 'connect'>,
  ): Promise<readonly Target[]> {
    if (call.exactName && !this.#sessions.isDialectSure)
      await this.#inspector.inTime(this.#sessions.sureDialect(), call.timeout, call.signal)
    // Also where the server has to be asked: wrong names are refused before anything is sent.
    const targets = this.#ofAll(names, call)
    call.signal?.throwIfAborted()
    if (call.exactName || this.#targets.isSettled) return targets
    await this.#settle(names, call, runner)
    call.signal?.throwIfAborted()
    this.#owner.checkOpen()
    return this.#ofAll(names, call)
  }

  /** Resolves when the namespace is known, for what is asked about no name; `what` is named in the error instead. */
  async settled(what: string, call: CallSettings): Promise<void> {
    if (!this.#targets.isSettled) await this.#settle(what, call)
  }

  #ofAll(names: LockNames, { exactName, mode, permits }: CallSettings): readonly Target[] {
    if (permits === undefined) return this.#targets.ofAll(names, exactName, mode)
    if (isSeveral(names)) throw permitsOfSeveral()
    return [this.#targets.ofPermits(names)]
  }

  async #settle(names: LockNames, call: CallSettings, runner?: () => Pick<RunnerLike, 'connect'>): Promise<void> {
    const isOnWork = !runner && !this.#owner.isPooled && call.session === 'dedicated'
    const settled = runner
      ? this.#settling.onRunner(runner())
      : isOnWork
        ? this.#settling.onWork(call.signal)
        : this.#settling.onShared(call.signal)
    const patience = call.timeout || TRY_PATIENCE
    await within(settled, patience, undefined, () => {
      const { obstacle } = isOnWork ? this.#sessions.work : this.#sessions
      return unsettledError(names, patience, obstacle)
    })
  }
}
