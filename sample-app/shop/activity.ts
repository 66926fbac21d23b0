import { channel, subscribe } from 'node:diagnostics_channel'
import type { NamedLockEvent, NamedLockEvents } from '../../src/index.js'
import { now } from './clock.js'

/** One run of a decorated method's own code, with the lock of this name or, while the switch is off, without it. */
export interface Section {
  readonly name: string
  readonly locked: boolean
  readonly startedAt: number
}

export const sectionChannel = { start: channel('ticket-shop:section:start'), end: channel('ticket-shop:section:end') }

/**
 * `waiting`, `acquired` (after how many ms), `timedOut`, `lost`, `released` (held for how many ms) are the library's events.
 * `entered` and `left` (after how many ms) are a method's own code without its lock; `worked` is the end of one with it.
 */
export type ActivityKind = 'waiting' | 'acquired' | 'timedOut' | 'lost' | 'released' | 'entered' | 'left' | 'worked'
/** When (epoch milliseconds), what, which lock, how long it took, and the number of the permit if the lock has some. */
export type Activity = readonly [at: number, kind: ActivityKind, lock: string, ms: number, permit?: number]

/** The name of the terminals for payments, and their number. */
export const TERMINAL = 'terminal'
export const TERMINALS = 3

/** Sends one message every 50 ms instead of one for every lock. */
const interval = 50

/**
 * Forwards the lock events of this process. It subscribes to node:diagnostics_channel, which has the events of all
 * NamedLockServices; `locks.on('acquired', …)` has those of one.
 */
export function watchLocks(send: (activities: readonly Activity[]) => void): void {
  let gathered: Activity[] = []
  const note = (kind: ActivityKind, lock: string, ms: number, permit?: number) => {
    if (gathered.length === 0) setTimeout(flush, interval).unref()
    const activity = [round(now()), kind, lock, round(ms)] as const
    gathered.push(permit === undefined ? activity : [...activity, permit])
  }
  const flush = () => {
    const activities = gathered
    gathered = []
    send(activities)
  }

  for (const kind of ['waiting', 'acquired', 'timedOut', 'lost'] as const) {
    subscribe(`typeorm-named-lock:${kind}`, (message) => {
      const { name, waitedMs, permit } = message as NamedLockEvent
      // Which permit a caller waits for is not known before it has one: its wait is drawn then.
      if (name !== TERMINAL || permit !== undefined) note(kind, name, waitedMs, permit)
    })
  }
  subscribe('typeorm-named-lock:released', (message) => {
    const { name, heldMs, permit } = message as NamedLockEvents['released'][0]
    note('released', name, heldMs, permit)
  })
  subscribe('ticket-shop:section:start', (message) => {
    const { name, locked } = message as Section
    if (!locked) note('entered', name, 0)
  })
  subscribe('ticket-shop:section:end', (message) => {
    const { name, locked, startedAt } = message as Section
    note(locked ? 'worked' : 'left', name, now() - startedAt)
  })
}

/** To a microsecond: the next holder in the same process may begin a few of them later. */
function round(ms: number): number {
  return Math.round(ms * 1000) / 1000
}
