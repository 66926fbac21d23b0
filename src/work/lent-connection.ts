import type { Session } from '../session/session.js'
import { clearTimeout, setTimeout } from '../util/clock.js'

/** How long a connection may take to come back from a wait that is of no use any more, in milliseconds. */
const RETURN_PATIENCE = 1_500

/**
 * A connection in use that is lent to one wait for a lock, and needed again when the wait is over.
 *
 * Nothing may be sent before the wait is answered: the lock may have been granted, and a late cancel would hit the next statement. In a
 * silent network that answer does not come, so the connection is given up after a while.
 */
export class LentConnection {
  /** Resolves when the wait no longer uses the connection; empty until it is lent. */
  #returned: Promise<void> | undefined
  #giveBack: (() => void) | undefined

  lend(): void {
    this.#returned = new Promise((resolve) => (this.#giveBack = resolve))
  }

  giveBack(): void {
    this.#giveBack?.()
  }

  /** Resolves when nothing of the wait is under way on the connection, or the session was given up. */
  async isBack(session: Session): Promise<void> {
    if (session.lostError || !this.#returned) return
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<'late'>((resolve) => (timer = setTimeout(() => resolve('late'), RETURN_PATIENCE)))
    const first = await Promise.race([this.#returned, late])
    clearTimeout(timer)
    if (first === 'late') session.lose(new Error('the database did not answer when a wait for a lock was to end'))
  }
}
