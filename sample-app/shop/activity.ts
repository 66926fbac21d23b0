import { channel, subscribe } from 'node:diagnostics_channel'
import type { NamedLockEvent, NamedLockEvents } from '../../src/index.js'

/** Code that ran without the lock of this name, because the switch was off. */
export interface Section {
  readonly name: string
  readonly startedAt: number
}

export const sectionChannel = { start: channel('ticket-shop:section:start'), end: channel('ticket-shop:section:end') }

/**
 * `waiting`, `acquired` (after how many ms), `timedOut`, `lost`, `released` (held for how many ms) are the library's events;
 * `entered` and `left` are the same for code without a lock.
 */
export type ActivityKind = 'waiting' | 'acquired' | 'timedOut' | 'lost' | 'released' | 'entered' | 'left'
/** When (epoch milliseconds), what, which lock, and how long it took. */
export type Activity = readonly [at: number, kind: ActivityKind, lock: string, ms: number]

/** The name of the terminals for payments, which has permits. */
export const TERMINAL = 'terminal'

/** Sends one message every 50 ms instead of one for every lock. */
const interval = 50

/**
 * Forwards the lock events of this process. It subscribes to node:diagnostics_channel, which has the events of all
 * NamedLockServices; `locks.on('acquired', …)` has those of one.
 */
export function watchLocks(send: (activities: readonly Activity[]) => void): void {
  let gathered: Activity[] = []
  const note = (kind: ActivityKind, lock: string, ms: number) => {
    if (gathered.length === 0) setTimeout(flush, interval).unref()
    gathered.push([round(performance.timeOrigin + performance.now()), kind, lock, round(ms)])
  }
  const flush = () => {
    const activities = gathered
    gathered = []
    send(activities)
  }

  for (const kind of ['waiting', 'acquired', 'timedOut', 'lost'] as const) {
    subscribe(`typeorm-named-lock:${kind}`, (message) => {
      const event = message as NamedLockEvent
      // Which permit a caller waits for is not known before it has one: its wait is drawn then.
      if (event.name !== TERMINAL || event.permit !== undefined) note(kind, laneOf(event), event.waitedMs)
    })
  }
  subscribe('typeorm-named-lock:released', (message) => {
    const event = message as NamedLockEvents['released'][0]
    note('released', laneOf(event), event.heldMs)
  })
  subscribe('ticket-shop:section:start', (message) => note('entered', (message as Section).name, 0))
  subscribe('ticket-shop:section:end', (message) => {
    const { name, startedAt } = message as Section
    note('left', name, performance.now() - startedAt)
  })
}

/** Each permit of a name has a lane of its own: `terminal 1`, `terminal 2`. */
function laneOf({ name, permit }: NamedLockEvent): string {
  return permit === undefined ? name : `${name} ${permit + 1}`
}

function round(ms: number): number {
  return Math.round(ms * 10) / 10
}
