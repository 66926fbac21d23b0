// The history shown by the timeline: a lane for every lock, with the replicas that held it, waited for it, or ran
// without it.

const memoryMs = 40_000

/**
 * @typedef {{ replica: number, start: number, end: number, waited: number, guarded: boolean, lost?: boolean }} Stay How
 *   long a replica was in the critical section; `end` is Infinity while it is still there.
 * @typedef {{ replica: number, start: number, end: number }} Wait
 * @typedef {{ replica: number, at: number, kind: string }} Mark
 */

/** One lock. */
export class Lane {
  /** @type {Stay[]} */ stays = []
  /** @type {Wait[]} */ waits = []
  /** @type {Wait[]} Callers that wait now, in order of arrival, which is the order of grants within a replica. */ queue =
    []

  /** @param {string} name */
  constructor(name) {
    this.name = name
  }

  /** @param {number} at */
  staysAt(at) {
    return this.stays.filter(({ start, end }) => start <= at && at < end)
  }

  /** @param {number} at */
  waitersAt(at) {
    return [...this.waits, ...this.queue].filter(({ start, end }) => start <= at && at < end).length
  }

  begin(replica, at, waited, guarded) {
    this.stays.push({ replica, start: at, end: Infinity, waited, guarded })
  }

  /** The stay that began `ms` ago; undefined if the page was opened in the middle of it. */
  end(replica, at, ms, guarded) {
    const start = at - ms
    const distance = (stay) => Math.abs(stay.start - start)
    const open = this.stays.filter(
      (stay) => stay.replica === replica && stay.end === Infinity && stay.guarded === guarded,
    )
    const own = open.sort((a, b) => distance(a) - distance(b))[0]
    if (own) own.end = at
    else this.stays.push({ replica, start, end: at, waited: 0, guarded })
    return own
  }

  wait(replica, at) {
    this.queue.push({ replica, start: at, end: Infinity })
  }

  /** Ends the wait of a replica's first caller. */
  stopWaiting(replica, at, waited) {
    const index = this.queue.findIndex((wait) => wait.replica === replica)
    if (index !== -1) this.queue.splice(index, 1)
    if (waited >= 1) this.waits.push({ replica, start: at - waited, end: at })
  }

  /** Ends all stays and waits of a replica whose process is gone. */
  leave(replica, at) {
    for (const stay of this.stays) if (stay.replica === replica && stay.end === Infinity) stay.end = at
    for (const wait of this.queue) if (wait.replica === replica) this.waits.push({ ...wait, end: at })
    this.queue = this.queue.filter((wait) => wait.replica !== replica)
  }

  /** @param {(span: { start: number, end: number }) => boolean} isNeeded */
  forget(isNeeded) {
    this.stays = this.stays.filter(isNeeded)
    this.waits = this.waits.filter(isNeeded)
  }
}

/** All locks, in a stable order. */
export class Lanes {
  /** @type {Map<string, Lane>} */ #lanes = new Map()
  /** @type {Mark[]} */ marks = []

  get all() {
    return [...this.#lanes.values()].sort((a, b) => compare(a.name, b.name))
  }

  get count() {
    return this.#lanes.size
  }

  /** @param {string} name */
  lane(name) {
    let lane = this.#lanes.get(name)
    if (!lane) this.#lanes.set(name, (lane = new Lane(name)))
    return lane
  }

  clear() {
    this.#lanes.clear()
    this.marks = []
  }

  /** @param {[replica: number, at: number, kind: string, lock?: string, ms?: number][]} entries */
  add(entries) {
    for (const [replica, at, kind, lock, ms = 0] of entries) {
      if (lock === undefined) this.#mark(replica, at, kind)
      else this.#activity(this.lane(lock), replica, at, kind, ms)
    }
  }

  /** Drops entries that are no longer visible: everything older than the memory, except entries in a paused view. */
  forget(now, [shownFrom, shownTo]) {
    const isNeeded = ({ start, end }) => end > now - memoryMs || (end > shownFrom && start < shownTo)
    for (const lane of this.#lanes.values()) lane.forget(isNeeded)
    this.marks = this.marks.filter(({ at }) => isNeeded({ start: at, end: at }))
  }

  #mark(replica, at, kind) {
    this.marks.push({ replica, at, kind })
    if (kind === 'killed' || kind === 'ended') for (const lane of this.#lanes.values()) lane.leave(replica, at)
  }

  /** @param {Lane} lane */
  #activity(lane, replica, at, kind, ms) {
    if (kind === 'waiting') lane.wait(replica, at - ms)
    else if (kind === 'timedOut') lane.stopWaiting(replica, at, ms)
    else if (kind === 'acquired') {
      lane.stopWaiting(replica, at, ms)
      lane.begin(replica, at, ms, true)
    } else if (kind === 'released') lane.end(replica, at, ms, true)
    else if (kind === 'entered') lane.begin(replica, at, 0, false)
    else if (kind === 'left') lane.end(replica, at, ms, false)
    else if (kind === 'lost') {
      const own = lane.staysAt(at).find((stay) => stay.replica === replica)
      if (own) Object.assign(own, { end: at, lost: true })
    }
  }
}

/** Sorts locks by event: event:1, seats:1, till:1, event:2 …; locks without an event come last. */
function compare(a, b) {
  const [kindA, numberA] = split(a)
  const [kindB, numberB] = split(b)
  if (numberA !== numberB) return numberA - numberB
  if (numberA !== Infinity) return kindA.localeCompare(kindB)
  // The permits of one name in their order.
  return a.split(' ')[0] === b.split(' ')[0] ? a.localeCompare(b) : kindB.localeCompare(kindA)
}

function split(name) {
  const [kind, number] = /^(\w+):(\d+)$/.exec(name)?.slice(1) ?? [name, Infinity]
  return [kind, Number(number)]
}

/**
 * The overlaps: intervals in which several replicas were in the critical section at once.
 * @param {readonly { start: number, end: number }[]} spans
 * @returns {[from: number, to: number][]}
 */
export function overlaps(spans) {
  const steps = spans
    .flatMap(({ start, end }) => [
      [start, 1],
      [end, -1],
    ])
    .sort((a, b) => a[0] - b[0] || a[1] - b[1])
  const found = []
  let inside = 0
  for (const [at, step] of steps) {
    if (step === 1 && inside === 1) found.push([at, Infinity])
    if (step === -1 && inside === 2) found.at(-1)[1] = at
    inside += step
  }
  return found
}
