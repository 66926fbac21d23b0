import type { Emitter } from './emitter.js'
import { NamedLockLostError } from '../contract/errors.js'
import type { NamedLockEvent, NamedLockEvents } from './events.js'
import type { Rollback } from '../dialect/dialect.js'
import type { Claim, ClaimListener, Handle } from '../queue/claim.js'
import type { LeaderTerm } from '../scope/leader-term.js'
import { monotonicNow } from '../util/clock.js'

/** Turns what happens to the claims of a service into its events, and notifies the handles of a loss. */
export class Reporter implements ClaimListener {
  readonly #events: Emitter

  constructor(events: Emitter) {
    this.#events = events
  }

  waiting(claim: Claim): void {
    if (this.#events.hears('waiting')) this.#events.emit('waiting', describe(claim))
  }

  acquired(claim: Claim): void {
    if (this.#events.hears('acquired')) this.#events.emit('acquired', { ...describe(claim), by: claim.by })
  }

  timedOut(claim: Claim): void {
    if (!claim.isTry && this.#events.hears('timedOut')) this.#events.emit('timedOut', describe(claim))
  }

  released(claim: Claim): void {
    if (!this.#events.hears('released')) return
    this.#events.emit('released', { ...describe(claim), heldMs: monotonicNow() - claim.grantedAt })
  }

  lost(claim: Claim, cause: Error, isReleased?: true): void {
    const error = new NamedLockLostError(`Lock '${claim.name}' was lost: ${cause.message.replace(/^The /, 'the ')}`, {
      cause,
    })
    const handles: readonly (Handle | undefined)[] = [claim.handle, ...(claim.otherHandles ?? [])]
    for (const handle of handles) handle?.lose(error)
    if (this.#events.hears('lost'))
      this.#events.emit('lost', { ...describe(claim), error, ...(isReleased && { isReleased }) })
  }

  /** The transaction under that lock was rolled back, and is repeated. */
  retried(claim: Claim, { reason, error }: Rollback, tries: number): void {
    if (this.#events.hears('retried')) this.#events.emit('retried', { ...describe(claim), reason, tries, error })
  }

  elected(claim: Claim, term: LeaderTerm): void {
    if (this.#events.hears('elected')) this.#events.emit('elected', { ...describe(claim), term })
  }

  revoked(claim: Claim, term: LeaderTerm, reason: Error, by: NamedLockEvents['revoked'][0]['by']): void {
    if (!this.#events.hears('revoked')) return
    this.#events.emit('revoked', { ...describe(claim), term, ledMs: monotonicNow() - claim.grantedAt, reason, by })
  }

  releaseFailed(claim: Claim, error: Error): void {
    if (error instanceof NamedLockLostError && claim.handle) claim.handle.foundLostByRelease(error)
    // No call waits for the answer, so only the event reports a loss.
    if (claim.isReleasedLater && isLoss(error)) this.lost(claim, error, true)
    if (this.#events.hears('releaseFailed')) this.#events.emit('releaseFailed', { ...describe(claim), error })
  }
}

function isLoss(error: Error): boolean {
  return error instanceof NamedLockLostError || error.cause instanceof NamedLockLostError
}

function describe(claim: Claim): NamedLockEvent {
  const end = claim.grantedAt || monotonicNow()
  const event = { name: claim.name, key: claim.target.key, waitedMs: end - claim.startedAt }
  const { mode } = claim.acquisition.call
  const { permit } = claim.target
  if (claim.isPatient) return { ...event, isLeaders: true }
  if (mode === undefined && permit === undefined) return event
  return { ...event, ...(mode && { mode }), ...(permit !== undefined && { permit }) }
}
