import Table from 'cli-table3'
import colors from 'picocolors'
import type { Activity } from '../shop/activity.js'
import { nothing, type Books } from '../supervisor/audit.js'
import { overlapsIn } from '../supervisor/sections.js'
import { total, type Run } from './verdict.js'

interface Line {
  readonly replica: string
  readonly books: Books
  readonly soldOut: number
  readonly waited: number
  readonly waits: readonly number[]
}

const columns: readonly (readonly [head: string, content: (line: Line) => string])[] = [
  ['replica', ({ replica }) => replica],
  ['sold', ({ books }) => String(books.orders)],
  ['sold out', ({ soldOut }) => String(soldOut)],
  ['oversold', ({ books }) => bad(books.oversold)],
  ['duplicate\nseats', ({ books }) => bad(books.duplicateSeats)],
  ['settled', ({ books }) => String(books.settled)],
  ['settled\ntwice', ({ books }) => bad(books.settledTwice)],
  ['had to\nwait', ({ waited }) => String(waited)],
  ['median\nwait', ({ waits }) => quantile(waits, 0.5)],
  ['p99\nwait', ({ waits }) => quantile(waits, 0.99)],
]

/** The table of both runs, with one line per replica. */
export function table(runs: readonly Run[]): string {
  const grid = new Table({
    head: ['', ...columns.map(([head]) => head)],
    colAligns: ['left', ...columns.map(() => 'right' as const)],
    style: { head: [], border: [] },
  })
  for (const run of runs) {
    const lines = linesOf(run)
    grid.push([colors.bold(run.label), ...columns.map(([, content]) => lines.map(content).join('\n'))])
  }
  return grid.toString()
}

export function settlementLine(run: Run): string {
  const sum = (figure: 'done' | 'skipped') => run.accounts.reduce((sum, { settlement }) => sum + settlement[figure], 0)
  return `With locks, the settlement ran ${sum('done')} times and was skipped ${sum('skipped')} times because another one was running.`
}

/** Both runs in a sentence each, and the verdict. What is said of locks holds because `compare` rejects unless the run with locks was exact. */
export function summary(unlocked: Run, locked: Run): string {
  const subject = locked.accounts.length === 1 ? 'two calls' : 'two replicas'
  return (
    `Without locks, ${count(total(unlocked, 'orders'))} tickets were sold for ${count(unlocked.audit.capacity)} seats: ` +
    `${count(total(unlocked, 'duplicateSeats'))} double bookings, ${count(total(unlocked, 'settledTwice'))} duplicate payouts, ` +
    `€${count(unlocked.audit.missingMoney)} unaccounted for.\n` +
    `With @WithNamedLock (${locked.accounts.length} processes): ${count(total(locked, 'orders'))} tickets for ${count(locked.audit.capacity)} seats, ` +
    'no double bookings, no duplicate payouts, nothing missing.\n' +
    `Verdict: ${subject} were inside the same lock at once ${count(overlapsIn(unlocked.locksUsed))} times without locks, ` +
    `and never with them, in ${count(locked.locksUsed.reduce((sum, { entries }) => sum + entries, 0))} entries.`
  )
}

function count(number: number): string {
  return number.toLocaleString('en-US')
}

function linesOf(run: Run): Line[] {
  const lines = run.accounts.map((account, index) => ({
    replica: String(index + 1),
    books: run.audit.replicas[index]!,
    soldOut: account.soldOut,
    ...waitsFor('event:', account.activities),
  }))
  const figures = Object.keys(nothing) as (keyof Books)[]
  const all = {
    replica: 'all',
    books: Object.fromEntries(figures.map((figure) => [figure, total(run, figure)])) as unknown as Books,
    soldOut: lines.reduce((sum, { soldOut }) => sum + soldOut, 0),
    waited: lines.reduce((sum, { waited }) => sum + waited, 0),
    waits: lines.flatMap(({ waits }) => waits),
  }
  return [...lines, all]
}

/** The number of callers that had to wait for locks with this prefix, and the wait of every caller. */
function waitsFor(prefix: string, activities: readonly Activity[]): { waited: number; waits: number[] } {
  const own = activities.filter(([, , lock]) => lock.startsWith(prefix))
  return {
    waited: own.filter(([, kind]) => kind === 'waiting').length,
    waits: own.filter(([, kind]) => kind === 'acquired').map(([, , , ms]) => ms),
  }
}

function bad(count: number): string {
  return count === 0 ? colors.green('0') : colors.red(String(count))
}

function quantile(values: readonly number[], share: number): string {
  if (values.length === 0) return '–'
  const sorted = [...values].sort((a, b) => a - b)
  return `${Math.round(sorted[Math.ceil(share * sorted.length) - 1]!)} ms`
}
