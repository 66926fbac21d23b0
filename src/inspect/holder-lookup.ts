import type { LockHolder } from '../contract/lock-info.js'
import type { LockMode } from '../contract/lock-mode.js'
import type { Claim } from '../queue/claim.js'
import type { Slots } from '../queue/slots.js'
import { ask, type Request } from '../session/place.js'
import type { Target } from '../names/targets.js'
import { modeOf } from './granted-rows.js'
import { readNotes, THIS_PROCESS } from './lock-notes.js'
import { clearTimeout, setTimeout, timeOrigin } from '../util/clock.js'

/** How long a caller waits for the holder's name after its time has run out, in milliseconds. */
const PATIENCE = 100

interface Question {
  answer: Promise<LockHolder | null>
  /** What is known before the whole answer is. */
  known: LockHolder | undefined
}

/** Finds the holder of a lock, for `holder` and for the message of a timeout. */
export class HolderLookup {
  readonly #slots: Slots
  /** Callers of one lock tend to run out of time together: one question serves them all. */
  readonly #underWay = new Map<string, Question>()

  constructor(slots: Slots) {
    this.#slots = slots
  }

  /** The holder as the server sees it; null when the lock is free. */
  find(target: Target): Promise<LockHolder | null> {
    return this.#question(target, target.literal).answer
  }

  /** The same, but never late and never failing: what is known by then. */
  findQuickly(claim: Claim): Promise<LockHolder | undefined> {
    const local = localHolder(claim.slot.holder)
    if (local) return Promise.resolve(local)
    const question = this.#question(claim.target, claim.literal)
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(question.known), PATIENCE)
      question.answer
        .then(
          (holder) => resolve(holder ?? undefined),
          () => resolve(question.known),
        )
        .finally(() => clearTimeout(timer))
    })
  }

  #question(target: Target, literal: string): Question {
    let question = this.#underWay.get(literal)
    if (!question) {
      question = { known: undefined, answer: Promise.resolve(null) }
      question.answer = this.#find(target, literal, question).finally(() => this.#underWay.delete(literal))
      this.#underWay.set(literal, question)
    }
    return question
  }

  async #find(target: Target, literal: string, question: Question): Promise<LockHolder | null> {
    const answer = await this.ask('holderId', literal)
    if (answer === undefined) return null
    const { dialect } = this.#slots.sessions
    const { connectionIds, mode } = dialect.readHolders(literal, answer)
    const [connectionId] = connectionIds
    if (!connectionId) return null
    // All permits of a name have one exclusion key, and may be held on one connection.
    const claims = this.#slots
      .holdersOf(target.exclusionKey)
      .filter(({ target: { permit, key } }) => permit === undefined || key === target.key)
    const own = claims.map(localHolder).find((holder) => holder && connectionIds.includes(holder.connectionId))
    if (own) return own
    const first = { connectionId, ...asHeld(mode, target.permit) }
    question.known = first
    const { sessions } = this.#slots
    // Without the PROCESS privilege the server does not show other users' connections: then the id is all there is.
    const details = await sessions
      .inspect(async (ask) => {
        const who = dialect.readConnection(await ask(dialect.describeConnection(connectionId)))
        question.known = { ...first, ...who }
        return { ...who, ...readNotes(await dialect.readNotes(ask)).holder(target.key, connectionId) }
      })
      .catch(() => question.known)
    return { ...first, ...details }
  }

  /** One request on the shared session; it never blocks there. */
  ask(request: Request, literal: string): Promise<string | undefined> {
    return ask(this.#slots.sessions.shared, request, literal)
  }
}

/** The holder of that claim, for questions in this process. */
export function localHolder(claim: Claim | undefined): LockHolder | undefined {
  const facts = claim?.checkLease() ? claim.session?.facts : undefined
  if (!claim || !facts) return undefined
  return {
    connectionId: facts.connectionId,
    ...(facts.user !== undefined && { user: facts.user }),
    ...(facts.host !== undefined && { host: facts.host }),
    ...(facts.database !== undefined && { database: facts.database }),
    since: new Date(timeOrigin + claim.grantedAt),
    process: THIS_PROCESS,
    ...asHeld(modeOf(claim.target), claim.target.permit),
  }
}

/** How a holder has its lock. */
export function asHeld(mode: LockMode | undefined, permit: number | undefined): Pick<LockHolder, 'mode' | 'permit'> {
  return { ...(mode !== undefined && { mode }), ...(permit !== undefined && { permit }) }
}
