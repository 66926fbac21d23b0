/** The state of the shop for the page, sent as JSON after every change. */
export interface ShopState {
  readonly database: string
  readonly locks: boolean
  readonly customers: number
  readonly sale: SaleState
  readonly replicas: readonly ReplicaState[]
  /** The totals of all sales since the start, separately for sales with and without locks. */
  readonly totals: { readonly on: Totals; readonly off: Totals }
  /** The reason why nothing is sold at the moment, if there is a problem. */
  readonly problem: string | null
}

export interface ReplicaState {
  readonly number: number
  readonly status: 'starting' | 'open' | 'stopped'
  readonly pid: number | null
  readonly sold: number
}

export interface SaleState {
  readonly number: number
  readonly locks: boolean
  readonly phase: 'preparing' | 'selling' | 'closing' | 'over'
  readonly events: readonly EventState[]
  readonly sold: number
  readonly capacity: number
  readonly oversold: number
  readonly duplicateSeats: number
  readonly missingMoney: number
  readonly settledTwice: number
}

export interface EventState {
  readonly id: number
  readonly title: string
  readonly capacity: number
  readonly available: number
  /** Seat and replica of each ticket, in the order of the orders. */
  readonly seats: readonly (readonly [seat: number, replica: number])[]
}

export interface Totals {
  readonly sales: number
  readonly sold: number
  readonly oversold: number
  readonly duplicateSeats: number
  readonly missingMoney: number
  readonly settledTwice: number
}

export const noTotals: Totals = {
  sales: 0,
  sold: 0,
  oversold: 0,
  duplicateSeats: 0,
  missingMoney: 0,
  settledTwice: 0,
}

/** Adds one sale to the totals. */
export function addSale(totals: Totals, sale: SaleState): Totals {
  return {
    sales: totals.sales + 1,
    sold: totals.sold + sale.sold,
    oversold: totals.oversold + sale.oversold,
    duplicateSeats: totals.duplicateSeats + sale.duplicateSeats,
    missingMoney: totals.missingMoney + sale.missingMoney,
    settledTwice: totals.settledTwice + sale.settledTwice,
  }
}
