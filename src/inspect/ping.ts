import { randomUUID } from 'node:crypto'
import { NamedLockError } from '../contract/errors.js'
import { ask } from '../session/place.js'
import type { Sessions } from '../session/sessions.js'
import { monotonicNow } from '../util/clock.js'

/**
 * Takes and releases a lock of its own on the lock session, as every lock does. A question that is answered late is released all the same,
 * as nothing here ends with the patience of the caller. Behind a transaction pooler, where no lock outlives a statement, it only asks.
 *
 * @returns The milliseconds that took.
 */
export async function ping(sessions: Sessions): Promise<number> {
  const { shared } = sessions
  const from = monotonicNow()
  await sessions.sureDialect()
  const literal = sessions.dialect.markLiteral(`ping:${randomUUID()}`)
  if (!sessions.hasSharedSession) {
    await ask(shared, 'isFree', literal)
    return monotonicNow() - from
  }
  const taken = await ask(shared, 'take', literal)
  const given = await ask(shared, 'give', literal)
  if (taken === '1' && given === '1') return monotonicNow() - from
  throw new NamedLockError(
    `The server did not grant a free lock, or did not release it: its answers were ${taken} and ${given}.`,
  )
}
