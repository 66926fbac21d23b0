import { endClaim } from '../acquire/claim-end.js'
import type { LockScope } from '../scope/lock-scope.js'
import type { Claim } from '../queue/claim.js'
import type { Session } from '../session/session.js'
import type { WorkConnection } from '../work/work-connection.js'
import type { WorkRunner } from '../typeorm/query-runner.js'
import { Serial } from '../util/serial.js'

/**
 * The locks of one transaction that last until it has ended: which they are, and on which session. There is one for each
 * QueryRunner with such locks, for all services of the DataSource.
 */
export class TransactionLocks {
  readonly runner: WorkRunner
  readonly session: Session
  readonly work: WorkConnection
  /** The scope that cannot end before a wait for one of these locks. */
  readonly scope: LockScope
  /** The claims that the transaction began with. Their handle releases them. */
  readonly #first: readonly Claim[]
  readonly #added: Claim[] = []
  #waits: Serial | undefined

  constructor(
    runner: WorkRunner,
    session: Session,
    work: WorkConnection,
    scope: LockScope,
    first: readonly Claim[] = [],
  ) {
    this.runner = runner
    this.session = session
    this.work = work
    this.scope = scope
    this.#first = first
  }

  get isActive(): boolean {
    return !this.session.lostError && this.runner.isTransactionActive
  }

  /** Waits run one after the other, as they share the connection. */
  get waits(): Serial {
    return (this.#waits ??= new Serial())
  }

  claimOf(key: string): Claim | undefined {
    for (const claim of this.#first) if (claim.target.exclusionKey === key) return claim
    return this.#added.find((claim) => claim.target.exclusionKey === key)
  }

  add(claim: Claim): void {
    this.scope.noteLocks(true)
    this.#added.push(claim)
  }

  /** Releases the locks that were added, after the transaction has ended. */
  release(): Promise<void> | undefined {
    if (this.#added.length === 0) return undefined
    const answers: Promise<void>[] = []
    for (const claim of this.#added.splice(0).reverse()) {
      const answer = endClaim(claim, 'released')
      if (answer) answers.push(answer)
    }
    return Promise.all(answers).then(() => {})
  }
}
