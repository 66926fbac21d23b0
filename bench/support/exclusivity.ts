import { setImmediate as nextTurn } from 'node:timers/promises'

/** Counts, within one process, holders that overlap and callers that are served out of order. */
export class Exclusivity {
  overlaps = 0
  outOfOrder = 0
  #inside = 0
  #tickets = 0
  #expected = 0

  /** Returns the number of the next caller; to be called when it requests the lock. */
  ticket(): number {
    return this.#tickets++
  }

  /** The holder's work: nothing. */
  work(ticket: number): void {
    if (ticket !== this.#expected++) this.outOfOrder++
  }

  /** Work that lasts for a turn of the event loop, so that a second holder would be detected. */
  async longWork(ticket: number): Promise<void> {
    if (this.#inside++ > 0) this.overlaps++
    this.work(ticket)
    await nextTurn()
    this.#inside--
  }
}

/**
 * Counts holders that entered before the previous one had left. `holds` has, for each process, alternating entry and
 * exit times on the machine's monotonic clock, which all processes share.
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
