// The history shown by the timeline: a lane for every lock, with the replicas that held it, waited for it, or ran
// without it.

const memoryMs = 40_000

/** The locks of the shop, in the order of the lanes: name, purpose, and how many may be inside at a time. */
export const locks = [
  { name: 'event:1', purpose: 'sells a seat for Opening night', limit: 1 },
  { name: 'till:1', purpose: 'books its payment', limit: 1 },
  { name: 'event:2', purpose: 'sells a seat for Late show', limit: 1 },
  { name: 'till:2', purpose: 'books its payment', limit: 1 },
  { name: 'terminal', purpose: 'three permits for payments', limit: 3 },
  { name: 'settlement', purpose: 'pays the organisers', limit: 1 },
  { name: 'migrations', purpose: 'creates the tables at startup', limit: 1 },
]

/**
 * @typedef {{
 *   replica: number
 *   row: number
 *   start: number
 *   end: number
 *   waited: number
 *   guarded: boolean
 *   lost?: boolean
 *   cut?: boolean
 * }} Stay
 *   How long a replica was in the critical section; `end` is Infinity while it is still there. `cut`: it was killed there.
 * @typedef {{ replica: number, row: number, start: number, end: number }} Wait
 * @typedef {{ replica: number, at: number, kind: string }} Mark
 */

/** One lock. Its rows are the replicas or, if it has permits, the permits. */
export class Lane {
  /** @type {Stay[]} */ stays = []
  /** @type {Wait[]} */ waits = []
  /** @type {Wait[]} Callers that wait now, in order of arrival, which is the order of grants within a replica. */ queue =
    []

  /** @param {{ name: string, purpose: string, limit: number }} lock */
  constructor({ name, purpose, limit }) {
    this.name = name
    this.purpose = purpose
    this.limit = limit
  }

  rows(replicas) {
    return this.limit > 1 ? this.limit : replicas
  }

  /** @param {number} at */
  staysAt(at) {
    return this.stays.filter(({ start, end }) => start <= at && at < end)
  }

  /** @param {number} at */
  waitersAt(at) {
    return [...this.waits, ...this.queue].filter(({ start, end }) => start <= at && at < end).length
  }

  begin(replica, at, waited, guarded, permit) {
    this.stays.push({ replica, row: this.#row(replica, permit), start: at, end: Infinity, waited, guarded })
  }

  /** The stay that began `ms` ago; a new one if the page was opened in the middle of it. */
  end(replica, at, ms, guarded, permit) {
    const start = at - ms
    const distance = (stay) => Math.abs(stay.start - start)
    const open = this.stays.filter(
      (stay) =>
        stay.replica === replica &&
        stay.end === Infinity &&
        stay.guarded === guarded &&
        (permit === undefined || stay.row === permit + 1),
    )
    const own = open.sort((a, b) => distance(a) - distance(b))[0]
    if (own) own.end = at
    else this.stays.push({ replica, row: this.#row(replica, permit), start, end: at, waited: 0, guarded })
  }

  lose(replica, at, permit) {
    const own = this.staysAt(at).find(
      (stay) => stay.replica === replica && (permit === undefined || stay.row === permit + 1),
    )
    if (own) Object.assign(own, { end: at, lost: true })
  }

  wait(replica, at, permit) {
    this.queue.push({ replica, row: permit === undefined ? replica : permit + 1, start: at, end: Infinity })
  }

  /** Ends the wait of a replica's first caller. */
  stopWaiting(replica, at, waited, permit) {
    const index = this.queue.findIndex((wait) => wait.replica === replica)
    if (index !== -1) this.queue.splice(index, 1)
    const row = permit === undefined ? replica : permit + 1
    if (waited >= 1) this.waits.push({ replica, row, start: at - waited, end: at })
  }

  /** Ends all stays and waits of a replica whose process is gone. */
  leave(replica, at) {
    for (const stay of this.stays) {
      if (stay.replica === replica && stay.end === Infinity) Object.assign(stay, { end: at, cut: true })
    }
    for (const wait of this.queue) if (wait.replica === replica) this.waits.push({ ...wait, end: at })
    this.queue = this.queue.filter((wait) => wait.replica !== replica)
  }

  /** @param {(span: { start: number, end: number }) => boolean} isNeeded */
  forget(isNeeded) {
    this.stays = this.stays.filter(isNeeded)
    this.waits = this.waits.filter(isNeeded)
  }

  /** Without a lock no permit is chosen: the first free row, or the last one if there are more inside than permits. */
  #row(replica, permit) {
    if (this.limit === 1) return replica
    if (permit !== undefined) return permit + 1
    const taken = new Set(this.stays.filter(({ end }) => end === Infinity).map(({ row }) => row))
    const free = Array.from({ length: this.limit }, (_, index) => index + 1).find((row) => !taken.has(row))
    return free ?? this.limit
  }
}

/** All locks. The lanes are always the same ones, so that none appears or disappears while the page is open. */
export class Lanes {
  /** @type {Map<string, Lane>} */ #lanes = new Map()
  /** @type {Mark[]} */ marks = []

  constructor() {
    this.clear()
  }

  get all() {
    return [...this.#lanes.values()]
  }

  /** @param {string} name */
  lane(name) {
    return this.#lanes.get(name.replace(/^migrations:.*/, 'migrations'))
  }

  clear() {
    this.#lanes = new Map(locks.map((lock) => [lock.name, new Lane(lock)]))
    this.marks = []
  }

  /** @param {[replica: number, at: number, kind: string, lock?: string, ms?: number, permit?: number][]} entries */
  add(entries) {
    for (const [replica, at, kind, lock, ms = 0, permit] of entries) {
      if (lock === undefined) this.#mark(replica, at, kind)
      else this.#activity(this.lane(lock), replica, at, kind, ms, permit)
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

  /** @param {Lane | undefined} lane */
  #activity(lane, replica, at, kind, ms, permit) {
    if (!lane) return
    if (kind === 'waiting') lane.wait(replica, at - ms, permit)
    else if (kind === 'timedOut') lane.stopWaiting(replica, at, ms, permit)
    else if (kind === 'acquired') {
      lane.stopWaiting(replica, at, ms, permit)
      lane.begin(replica, at, ms, true, permit)
    } else if (kind === 'released') lane.end(replica, at, ms, true, permit)
    else if (kind === 'entered') lane.begin(replica, at, 0, false)
    else if (kind === 'left') lane.end(replica, at, ms, false)
    else if (kind === 'lost') lane.lose(replica, at, permit)
  }
}

/**
 * The overlaps: intervals in which more than `limit` were in the critical section at once.
 * @param {readonly { start: number, end: number }[]} spans
 * @returns {[from: number, to: number][]}
 */
export function overlaps(spans, limit = 1) {
  const steps = spans
    .flatMap(({ start, end }) => [
      [start, 1],
      [end, -1],
    ])
    .sort((a, b) => a[0] - b[0] || a[1] - b[1])
  const found = []
  let inside = 0
  for (const [at, step] of steps) {
    if (step === 1 && inside === limit) found.push([at, Infinity])
    if (step === -1 && inside === limit + 1) found.at(-1)[1] = at
    inside += step
  }
  return found
}
