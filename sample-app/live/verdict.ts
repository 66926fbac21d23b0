import type { SaleState, Verdict } from './shop-state.js'

/** Concludes from the counted figures of a sale; while it is running, from the figures so far. */
export function verdictOf(sale: SaleState, replicas: number): Verdict {
  const faults = faultsOf(sale)
  const subject = replicas === 1 ? 'Two calls' : 'Two replicas'
  const reasons = causes(sale, subject)
  if (faults.length > 0) return { tone: 'bad', conclusion: `${list(faults)}.`, reasons }
  if (sale.sold === 0) return { tone: 'open', conclusion: sale.phase === 'over' ? 'No ticket sold.' : '', reasons: [] }
  const money = sale.phase === 'over' ? `, ${euros(sale.paid)} of ${euros(sale.paid)} in the tills` : ''
  const conclusion = `${quantity(sale.sold, 'seat')} sold once each${money}.`
  if (reasons.length > 0) return { tone: sale.locks ? 'bad' : 'open', conclusion, reasons }
  return { tone: sale.locks ? 'good' : 'open', conclusion, reasons: exclusion(sale, subject) }
}

function faultsOf({ events, doubleBooked, missingMoney, paidTwice, oversold }: SaleState): string[] {
  const most = Math.max(0, ...events.map(({ seats }) => highest(seats.map(([seat]) => seat))))
  const times = most > 2 ? `up to ${most} times` : 'twice'
  return [
    doubleBooked > 0 && `${quantity(doubleBooked, 'seat')} sold ${times}`,
    missingMoney > 0 && `${euros(missingMoney)} lost`,
    missingMoney < 0 && `${euros(-missingMoney)} too much in the tills`,
    paidTwice > 0 && `${quantity(paidTwice, 'order')} paid out twice`,
    oversold > 0 && `${quantity(oversold, 'ticket')} oversold`,
  ].filter((fault) => fault !== false)
}

/** The overlaps, each with what came of it. */
function causes(sale: SaleState, subject: string): string[] {
  const { locksUsed, doubleBooked, oversold, missingMoney, paidTwice } = sale
  const cause = (prefix: string, ...effects: (string | false)[]) => {
    const found = locksUsed.filter(({ lock, overlaps }) => overlaps > 0 && lock.startsWith(prefix))
    if (found.length === 0) return []
    const places = list(found.map(({ lock, overlaps }) => `inside ${lock} at once ${quantity(overlaps, 'time')}`))
    const effect = list(effects.filter((effect) => effect !== false))
    return [`${subject} were ${places}${effect && `: ${effect}`}.`]
  }
  const crowded = locksUsed.filter(({ limit, overlaps }) => limit > 1 && overlaps > 0)
  return [
    ...cause(
      'event:',
      doubleBooked > 0 && `${quantity(doubleBooked, 'seat')} sold more than once`,
      oversold > 0 && `${quantity(oversold, 'ticket')} oversold`,
    ),
    ...cause('till:', missingMoney > 0 && `${euros(missingMoney)} lost`),
    ...cause('settlement', paidTwice > 0 && `${quantity(paidTwice, 'order')} paid out twice`),
    ...crowded.map(
      ({ lock, limit, overlaps }) => `More than ${limit} were inside ${lock} at once ${quantity(overlaps, 'time')}.`,
    ),
  ]
}

/** What held: no overlap at all. */
function exclusion({ locksUsed }: SaleState, subject: string): string[] {
  const alone = locksUsed.filter(({ limit }) => limit === 1)
  if (alone.length === 0) return []
  const entries = alone.reduce((sum, { entries }) => sum + entries, 0)
  const names = list(
    alone.map(({ lock }) => lock),
    'or',
  )
  const shared = locksUsed.filter(({ limit }) => limit > 1)
  return [
    `No ${subject.toLowerCase()} were inside ${names} at once, in ${quantity(entries, 'entry')}.`,
    ...shared.map(
      ({ lock, limit, entries }) => `Never more than ${limit} were inside ${lock}, in ${quantity(entries, 'entry')}.`,
    ),
  ]
}

function highest(seats: readonly number[]): number {
  const counts = new Map<number, number>()
  for (const seat of seats) counts.set(seat, (counts.get(seat) ?? 0) + 1)
  return Math.max(0, ...counts.values())
}

function list(parts: readonly string[], last = 'and'): string {
  return parts.length < 2 ? parts.join('') : `${parts.slice(0, -1).join(', ')} ${last} ${parts.at(-1)}`
}

function quantity(number: number, noun: string): string {
  return `${number.toLocaleString('en')} ${number === 1 ? noun : noun.replace(/y$/, 'ie') + 's'}`
}

function euros(amount: number): string {
  return `€${amount.toLocaleString('en')}`
}
