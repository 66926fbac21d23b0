import type { Overlaps } from '../supervisor/sections.js'

/** The state of the shop for the page, sent as JSON after every change. */
export interface ShopState {
  readonly database: string
  readonly locks: boolean
  readonly customers: number
  readonly sale: SaleState
  /** The result of `sale` so far. */
  readonly verdict: Verdict
  /** The sale before this one. */
  readonly previous: PreviousSale | null
  readonly replicas: readonly ReplicaState[]
  /** The totals of all sales since the start, separately for sales with and without locks. */
  readonly totals: { readonly on: Totals; readonly off: Totals }
  /** The reason why nothing is sold at the moment, if it needs attention. */
  readonly notice: Notice | null
}

/** The result of a sale in words: what the customers and the organiser got, and why. */
export interface Verdict {
  /** `open`: without locks, but nothing has gone wrong yet. */
  readonly tone: 'good' | 'open' | 'bad'
  readonly conclusion: string
  /** One sentence for each cause. */
  readonly reasons: readonly string[]
}

export interface Notice {
  /** `error`: something failed. `info`: the user can continue the sale. */
  readonly kind: 'info' | 'error'
  readonly text: string
}

export interface PreviousSale {
  readonly number: number
  readonly locks: boolean
  readonly conclusion: string
}

export interface ReplicaState {
  readonly number: number
  readonly status: 'starting' | 'open' | 'stopped'
  readonly pid: number | null
  readonly sold: number
}

/** The figures of a sale, in the order in which they move when the locks are off. */
export interface Figures {
  readonly sold: number
  /** How often a replica was inside a lock's code while another one was. */
  readonly overlaps: number
  /** Seats that were sold more than once. */
  readonly doubleBooked: number
  readonly missingMoney: number
  readonly paidTwice: number
  readonly oversold: number
}

export interface SaleState extends Figures {
  readonly number: number
  readonly locks: boolean
  /** `closing`: the last orders are served and settled. `over`: the pause before the next sale. */
  readonly phase: 'preparing' | 'selling' | 'closing' | 'over'
  /** Whether the switch of the locks ended it, before its tickets were sold. */
  readonly cutShort: boolean
  /** The end of the pause, in epoch milliseconds. */
  readonly nextAt: number | null
  readonly events: readonly EventState[]
  readonly capacity: number
  /** What customers have paid. */
  readonly paid: number
  readonly locksUsed: readonly Overlaps[]
}

export interface EventState {
  readonly id: number
  readonly title: string
  readonly capacity: number
  readonly available: number
  /** Seat and replica of each ticket, in the order of the orders. */
  readonly seats: readonly (readonly [seat: number, replica: number])[]
}

export interface Totals extends Figures {
  readonly sales: number
}

export const noFigures: Figures = {
  sold: 0,
  overlaps: 0,
  doubleBooked: 0,
  missingMoney: 0,
  paidTwice: 0,
  oversold: 0,
}

export const noTotals: Totals = { sales: 0, ...noFigures }

export const noSale: SaleState = {
  ...noFigures,
  number: 0,
  locks: true,
  phase: 'preparing',
  cutShort: false,
  nextAt: null,
  events: [],
  capacity: 0,
  paid: 0,
  locksUsed: [],
}

/** Adds one sale to the totals. */
export function addSale(totals: Totals, sale: SaleState): Totals {
  const figures = Object.keys(noFigures) as (keyof Figures)[]
  const sums = Object.fromEntries(figures.map((figure) => [figure, totals[figure] + sale[figure]]))
  return { sales: totals.sales + 1, ...(sums as unknown as Figures) }
}
