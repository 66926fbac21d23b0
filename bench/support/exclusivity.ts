import { setImmediate as nextTurn } from 'node:timers/promises'

/** Watches, inside one process, that nobody is in while somebody is, and in which order they come in. */
export class Exclusivity {
  overlaps = 0
  outOfOrder = 0
  #inside = 0
  #tickets = 0
  #expected = 0

  /** To be drawn when the lock is asked for. */
  ticket(): number {
    return this.#tickets++
  }

  /** The holder's work: nothing. */
  work(ticket: number): void {
    if (ticket !== this.#expected++) this.outOfOrder++
  }

  /** Work that goes on for a turn of the event loop, so that a second holder would be seen. */
  async longWork(ticket: number): Promise<void> {
    if (this.#inside++ > 0) this.overlaps++
    this.work(ticket)
    await nextTurn()
    this.#inside--
  }
}

/**
 * How often somebody came in before the one before had left. `holds` has, for each process, entry and exit times in
 * turn, on the machine's monotonic clock, which all processes share.
 */
export function countOverlaps(holds: readonly Float64Array[]): number {
  const intervals: [number, number][] = []
  for (const times of holds) {
    for (let i = 0; i + 1 < times.length; i += 2) intervals.push([times[i]!, times[i + 1]!])
  }
  intervals.sort((a, b) => a[0] - b[0])
  let overlaps = 0
  let lastExit = Number.NEGATIVE_INFINITY
  for (const [entry, exit] of intervals) {
    if (entry < lastExit) overlaps++
    lastExit = Math.max(lastExit, exit)
  }
  return overlaps
}
