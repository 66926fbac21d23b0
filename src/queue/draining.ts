import { ask, type Place } from '../session/place.js'
import type { Session } from '../session/session.js'
import { SLOTS_OF_READERS } from '../names/part-keys.js'

/** What a writer that has the gate waits with. */
export interface DrainingHost {
  /** Callers still want the lock there. */
  isWanted(): boolean
  /** Some slots are held by readers. */
  foundBusy(): void
  /** Until the next look; ends early when the last caller leaves. */
  pause(): Promise<void>
}

/**
 * The second half of a writer's wait, where readers and writers are made of ordinary locks: it has the gate, so no new reader comes in, and
 * it takes the slots of the readers that are in as they leave. It keeps what it has and looks again for the rest, in one statement
 * each: it must not block for a slot, as the session may be the shared one, and a slot that comes free has no other taker.
 *
 * All or nothing: the wait ends with every slot, or gives back the gate and all that it has.
 *
 * @returns Whether the lock is held on the place now.
 * @throws when the session is dead, or the server could not be asked; nothing is held then.
 */
export async function drain(place: Place, writer: string, host: DrainingHost): Promise<boolean> {
  const session = place.session as Session
  place.held(1, session)
  try {
    if (await takeAll(place, session, writer, host)) return true
    await giveBack(place, session, writer)
    return false
  } catch (error) {
    if (!session.lostError) await giveBack(place, session, writer)
    throw error
  } finally {
    place.held(-1, session)
  }
}

async function takeAll(place: Place, session: Session, writer: string, host: DrainingHost): Promise<boolean> {
  const { dialect } = session
  let missing = Array.from({ length: SLOTS_OF_READERS }, (_, number) => number)
  while (host.isWanted()) {
    const literal = dialect.fillLiteral?.(writer, missing) ?? writer
    const answer = (await ask(place, 'fill', literal)) ?? ''
    if (session.lostError) throw session.lostError
    missing = missing.filter((_, at) => answer[at] !== '1')
    if (missing.length === 0) return true
    host.foundBusy()
    if (host.isWanted()) await host.pause()
    if (session.lostError) throw session.lostError
  }
  return false
}

/** In doubt the connection ends: a gate that is left behind keeps all others out. */
async function giveBack(place: Place, session: Session, writer: string): Promise<void> {
  if (place.session !== session) return
  await ask(place, 'give', writer).catch((error: unknown) => session.lose(error))
}
