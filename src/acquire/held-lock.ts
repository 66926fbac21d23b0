import type { TimeLimits } from '../util/time-limits.js'
import { NamedLockLostError } from '../contract/errors.js'
import { NamedLock } from '../scope/named-lock.js'
import type { LockScope } from '../scope/lock-scope.js'
import type { Claim, Handle } from '../queue/claim.js'
import { databaseError } from '../contract/database-error.js'
import type { Request } from '../session/place.js'
import type { AcquireTrace } from '../observe/tracing.js'
import { endClaim } from './claim-end.js'
import type { OwningService } from './owning-service.js'
import { cannotBeReleased } from './refusals.js'

/** The handle: one claim for each name. Handles of a re-entrant scope share their claims. */
export class HeldLock extends NamedLock<any> implements Handle {
  readonly names: readonly string[]
  /** In the order in which they were granted; they are released in reverse. */
  readonly claims: readonly Claim[]
  /** The scoped call it belongs to; undefined for a handle. */
  readonly scope: LockScope | undefined
  readonly owner: OwningService
  /** Set while its transaction or its leader's term lasts: it cannot be released before that has ended. */
  #lastsWith: 'transaction' | 'term' | undefined
  #trace: AcquireTrace | undefined
  #foundLost: Error | undefined
  #isReleased = false
  #releasing: Promise<void> | undefined
  #lost: Error | undefined
  #controller: AbortController | undefined

  constructor(names: readonly string[], claims: readonly Claim[], scope: LockScope | undefined, owner: OwningService) {
    super()
    this.names = names
    this.claims = claims
    this.scope = scope
    this.owner = owner
    for (const claim of claims) {
      if (claim.handle) (claim.otherHandles ??= []).push(this)
      else claim.handle = this
    }
  }

  /** In the order of the names. */
  get keys(): readonly string[] {
    if (this.claims.length === 1) return this.names.map(() => (this.claims[0] as Claim).target.key)
    return this.names.map((name) => this.claims.find((claim) => claim.name === name)?.target.key as string)
  }

  override get permit(): number | undefined {
    return this.claims[0]?.target.permit
  }

  get manager(): unknown {
    return this.claims[0]?.source?.manager
  }

  /** How it was acquired; undefined where no subscriber traces that. */
  get trace(): AcquireTrace | undefined {
    return this.#trace
  }

  tracedBy(trace: AcquireTrace): void {
    this.#trace = trace
  }

  /** A transaction begins under the lock: `release()` is refused until `endTransaction`. */
  beginTransaction(): void {
    this.#lastsWith = 'transaction'
  }

  /** The transaction has ended, by a COMMIT or otherwise. */
  endTransaction(): void {
    this.#lastsWith = undefined
  }

  /** A leader's term begins under the lock: `release()` is refused until `endTerm`. */
  beginTerm(): void {
    this.#lastsWith = 'term'
  }

  endTerm(): void {
    this.#lastsWith = undefined
  }

  /** The error when the server's answer to the release was that the lock had not been held any more, since an unknown time. */
  get foundLost(): Error | undefined {
    return this.#foundLost
  }

  foundLostByRelease(error: Error): void {
    this.#foundLost = error
  }

  /** Why the lock was lost; undefined while it is held and after an orderly release. */
  get lostError(): Error | undefined {
    if (!this.#isReleased && !this.#lost) void this.isHeld // a lease that is over ends the session, and the lock with it
    return this.#lost
  }

  /** False in doubt as well. A lease that is over is detected by this, before a timer could run. */
  override get isHeld(): boolean {
    return !this.#isReleased && !this.#lost && this.claims.every(isCertain)
  }

  /**
   * Undefined unless the server is being asked whether it has kept the lock; resolves with the answer. Until then the lock is not lost: a
   * clock that was set must not fail work that was alone all the time.
   */
  whenCertain(): Promise<unknown> | undefined {
    if (this.#isReleased || this.#lost) return undefined
    const inquiries = this.claims.flatMap(({ state, session }) => (state === 'held' && session?.whenCertain()) || [])
    return inquiries.length > 0 ? Promise.all(inquiries) : undefined
  }

  /** Made when first read: a lock costs nothing for it when its work does not use it. */
  override get signal(): AbortSignal {
    this.#controller ??= new AbortController()
    if (this.#lost && !this.#controller.signal.aborted) this.#controller.abort(this.#lost)
    return this.#controller.signal
  }

  /** The lock is gone: its session was lost, or the service has closed. */
  lose(error: Error): void {
    if (this.#isReleased || this.#lost) return
    this.#lost = error
    this.#controller?.abort(error)
  }

  override async verify(): Promise<boolean> {
    if (!this.isHeld && !this.whenCertain()) return false
    const answers = await Promise.all(this.claims.map((claim) => ask(claim, 'owns').catch(() => undefined)))
    return answers.every((answer) => answer === '1') && this.isHeld
  }

  override async fencingToken(): Promise<bigint> {
    if (!this.whenCertain()) this.#assertHeld() // in doubt, the answers to the requests below decide
    try {
      const raised = await this.#tokenFromBeside()
      // Requested after the counter has risen: a lock that is held now was held then.
      const answers = await Promise.all(this.claims.map((claim) => ask(claim, raised ? 'owns' : tokenOf(claim))))
      const gone = answers.findIndex((answer) => !answer || (raised !== undefined && answer !== '1'))
      if (gone >= 0) {
        throw new NamedLockLostError(
          `Lock '${this.claims[gone]?.name}' was lost: the server reports that this session no longer holds it.`,
        )
      }
      this.#assertHeld()
      return raised ?? BigInt(answers.at(-1) as string)
    } catch (error) {
      this.#assertHeld()
      throw databaseError('No fencing token', error)
    }
  }

  /** A token from a table, or from another connection where one of the lock's own would not outlive a crash of the server. */
  #tokenFromBeside(): Promise<bigint> | undefined {
    const { slot, owner } = this.claims[0] as Claim
    if (owner.fencing) return owner.fencing.next(this.claims.map(counterOf))
    const isLost = this.claims.some((claim) => claim.source && claim.session?.facts.losesTokens)
    return isLost ? slot.freshToken(owner.settings.timeout) : undefined
  }

  override release(): Promise<void> {
    if (this.#lastsWith) return Promise.reject(cannotBeReleased(this.name, this.#lastsWith))
    return (this.#releasing ??= this.#release())
  }

  #release(): Promise<void> {
    if (!this.#lost) {
      const doubt = this.isHeld ? undefined : this.whenCertain()
      if (doubt) return doubt.then(() => this.#release())
      if (!this.#lost) this.#isReleased = true
    }
    if (this.claims.every(({ shares }) => shares === 1)) this.claims[0]?.source?.endWork()
    const answers: Promise<void>[] = []
    for (let i = this.claims.length - 1; i >= 0; i--) {
      const claim = this.claims[i] as Claim
      if (claim.shares > 1) claim.otherHandles?.splice(claim.otherHandles.indexOf(this) >>> 0, 1)
      const answer = endClaim(claim, 'released')
      if (answer && !claim.isReleasedLater) answers.push(answer)
    }
    return answers.length === 0
      ? DONE
      : answers.length === 1
        ? (answers[0] as Promise<void>)
        : Promise.all(answers).then(() => {})
  }

  #assertHeld(): void {
    if (this.isHeld) return
    throw this.#lost ?? new NamedLockLostError(`Lock '${this.name}' is no longer held: it was released.`)
  }
}

/** The clock of the times that the holder of a lock sets; undefined: the library's own. */
export function timeLimitsOf(lock: NamedLock<unknown>): TimeLimits | undefined {
  return lock instanceof HeldLock ? lock.claims[0]?.session?.dialect.timeLimits : undefined
}

/** A lease that is over ends its session here. The clocks are read once as long as all is well: each lock comes by here twice. */
function isCertain(claim: Claim): boolean {
  if (claim.isCertain) return true
  claim.checkLease()
  return false
}

const DONE = Promise.resolve()

/** What the fencing tokens of a lock are counted by. Each permit has a counter of its own. */
function counterOf({ target }: Claim): string {
  return target.permit === undefined ? target.exclusionKey : target.key
}

/** Work runs on a connection that has a source, and may have begun a transaction there. */
function tokenOf({ source }: Claim): Request {
  return source ? 'fencingTokenInWork' : 'fencingToken'
}

function ask(claim: Claim, request: Request): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const { place, session } = claim
    // The shared place may have another session by now, on which the lock is not held.
    if (!place || place.session !== session) resolve(undefined)
    else
      place.ask(request, claim.target.literal, {
        answered: (_request, answer, error) => (error ? reject(error) : resolve(answer)),
      })
  })
}
