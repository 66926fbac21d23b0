import type { Activity } from '../shop/activity.js'
import type { SettlementRuns } from '../shop/settlement.service.js'
import type { Audit, Books } from '../supervisor/audit.js'
import { overlapsIn, type Overlaps } from '../supervisor/sections.js'
import type { Sales } from './serve.js'

/** A replica's work as customers and the replica itself report it, independent of the database. */
export interface Account extends Sales {
  readonly settlement: SettlementRuns
  /** Its lock events. */
  readonly activities: readonly Activity[]
}

/** The data of one rush: the orders, the reports of customers and replicas, and the audit of the database. */
export interface Run {
  readonly label: string
  readonly orders: number
  readonly accounts: readonly Account[]
  readonly audit: Audit
  readonly locksUsed: readonly Overlaps[]
}

export function total(run: Run, figure: keyof Books): number {
  return run.audit.replicas.reduce((sum, books) => sum + books[figure], 0)
}

/** Whether a run without locks oversold tickets and double-booked seats. */
export function showsTheProblem(run: Run): boolean {
  return total(run, 'oversold') > 0 && total(run, 'duplicateSeats') > 0
}

/** Orders that failed with an error; a fault in both runs. */
export function failures(run: Run): string[] {
  const errors = run.accounts.flatMap((account) => account.failures)
  return errors.length === 0 ? [] : [`${errors.length} orders failed, the first with: ${errors[0]}`]
}

/** The faults of a run with locks; empty if the run was exact. */
export function faults(run: Run): string[] {
  const { audit, accounts } = run
  const sold = accounts.reduce((sum, account) => sum + account.sold, 0)
  const soldOut = accounts.reduce((sum, account) => sum + account.soldOut, 0)
  const tickets = Math.min(audit.capacity, run.orders)
  const checks: [wrong: boolean, message: string][] = [
    [overlapsIn(run.locksUsed) > 0, `two replicas were inside one lock at once ${overlapsIn(run.locksUsed)} times`],
    [total(run, 'oversold') > 0, `${total(run, 'oversold')} tickets were oversold`],
    [total(run, 'duplicateSeats') > 0, `${total(run, 'duplicateSeats')} seats were double-booked`],
    [total(run, 'settledTwice') > 0, `${total(run, 'settledTwice')} orders were settled twice`],
    [audit.unsettled > 0, `${audit.unsettled} orders were not settled`],
    [audit.unpaid > 0, `${audit.unpaid} orders were not paid`],
    [audit.missingMoney !== 0, `€${audit.missingMoney} of revenue are missing`],
    [sold !== tickets, `${sold} of ${tickets} tickets were sold`],
    [sold + soldOut !== run.orders, `${sold + soldOut} of ${run.orders} orders were answered`],
    [total(run, 'orders') !== sold, `${sold} orders were confirmed, but ${total(run, 'orders')} are in the database`],
    [audit.wrongStocks > 0, `the tickets left are wrong for ${audit.wrongStocks} events`],
  ]
  return [...failures(run), ...checks.filter(([wrong]) => wrong).map(([, message]) => message)]
}
