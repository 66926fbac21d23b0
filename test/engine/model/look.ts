import { connectionsIn, idOf } from '../../support/typeorms.js'
import { GRACE, type Call, type LockRow, type World } from './world.js'

/** Compares the server with what the model knows. What looks wrong may be on its way: it counts when it stays so. */
export class Look {
  readonly #world: World
  readonly #since = new Map<string, number>()

  constructor(world: World) {
    this.#world = world
  }

  async once(): Promise<void> {
    const world = this.#world
    const heldBefore = world.held()
    const strangersBefore = world.strangers
      .filter((one) => one.name && !one.busy)
      .map((one) => [one, one.name] as const)
    const askedAt = performance.now()
    const rows = await world.locks()
    const held = rows.filter((row) => row.status === 'GRANTED' && !row.isMark)
    const holding = (name: string): LockRow[] => held.filter((row) => row.key === world.keyOf(name))

    for (const call of heldBefore) {
      if (call.state !== 'held' || !call.lock?.isHeld || call.side.disturbedAt > askedAt - GRACE) continue
      if (call.side.closing || call.locks !== call.side.locks) continue
      for (const name of call.names) {
        const found = holding(name)
        if (found.some((row) => row.home === call.side.home && row.isShared === call.isShared)) continue
        const holder =
          found.length > 0 ? `connections ${found.map(({ id }) => id).join()} have it` : 'no connection has it'
        world.violation(`#${call.id} (${call.side.name}) believes in '${name}', but on the server ${holder}`)
      }
    }
    for (const [stranger, name] of strangersBefore) {
      if (stranger.name !== name || stranger.busy) continue
      const ids = holding(name!).map(({ id }) => id)
      if (ids.join() !== stranger.client.id)
        world.violation(`a stranger has '${name}', and the server says ${ids.join()}`)
    }

    const wrong = new Set<string>()
    for (const name of world.names) this.#lookAt(name, holding(name), wrong)
    for (const row of rows) this.#lookAtMark(row, wrong)
    this.#count(wrong)
  }

  /** No call has or wants a lock: the server must agree, and the pools too. */
  async atRest(): Promise<string | undefined> {
    const rows = await this.#world.locks()
    if (rows.length > 0) return `locks: ${rows.map((row) => `${row.key} ${row.status} ${row.id}`).join(', ')}`
    for (const { name, home } of this.#world.sides) {
      const onServer = (await this.#world.connectionsOf(home)).map(({ id }) => id).sort()
      const inPool = this.#world.sides
        .filter((side) => side.home === home)
        .flatMap((side) => connectionsIn(side.dataSource).map(idOf))
      const known = [...new Set(inPool)].sort()
      if (onServer.join() !== known.join())
        return `connections of ${name}: ${onServer.join()} on the server, ${known.join()} in the pool`
    }
    return undefined
  }

  #lookAt(name: string, rows: readonly LockRow[], wrong: Set<string>): void {
    const world = this.#world
    const pending = world.pending(name)
    const now = performance.now()
    if (rows.length === 0) {
      // Calls with several names may wait for another of them.
      const waiting = pending.find((call) => call.names.length === 1 && now > call.startedAt + 50)
      if (waiting) wrong.add(`'${name}' is free, and a call waits for it`)
      return
    }
    if (rows.every(({ isShared }) => isShared)) this.#lookForReaders(name, wrong)
    for (const row of rows) this.#lookAtRow(name, row, wrong)
  }

  /** Readers have it, and no writer wants it: no reader waits. */
  #lookForReaders(name: string, wrong: Set<string>): void {
    const world = this.#world
    const pending = world.pending(name)
    if (pending.some(({ isShared }) => !isShared) || world.strangers.some(({ busy }) => busy)) return
    if (pending.some(({ names, startedAt }) => names.length === 1 && performance.now() > startedAt + 50))
      wrong.add(`readers have '${name}', and a reader waits although no writer does`)
  }

  #lookAtRow(name: string, row: LockRow, wrong: Set<string>): void {
    const world = this.#world
    const pending = world.pending(name)
    const stranger = world.strangers.find((one) => one.client.id === row.id)
    if (stranger) {
      if (stranger.name !== name && !stranger.busy) wrong.add(`a stranger has '${name}' and does not know it`)
      return
    }
    const isIts = (call: Call): boolean => call.side.home === row.home && call.isShared === row.isShared
    const holder = [...world.holdersOf(name)].find(isIts)
    const partly = pending.find((call) => call.names.length > 1 && isIts(call))
    if (!holder && !partly) wrong.add(`connection ${row.id} has '${name}', and no handle owns it`)
  }

  #lookAtMark(row: LockRow, wrong: Set<string>): void {
    if (!row.isMark) return
    const world = this.#world
    const name = world.names.find((one) => world.isMarkOf(one, row))
    const polls = name && world.pending(name).some((call) => call.side.home === row.home)
    if (!polls) wrong.add(`connection ${row.id} has the mark ${row.key}, and no call polls`)
  }

  /** `wrong` by now; what has been for too long is a violation. */
  #count(wrong: ReadonlySet<string>): void {
    const now = performance.now()
    for (const known of [...this.#since.keys()]) if (!wrong.has(known)) this.#since.delete(known)
    for (const what of wrong) {
      const since = this.#since.get(what) ?? now
      this.#since.set(what, since)
      const disturbedAt = Math.max(...this.#world.sides.map((side) => side.disturbedAt))
      if (now - Math.max(since, disturbedAt) < GRACE) continue
      this.#world.violation(`for ${Math.round(now - since)} ms: ${what}`)
      this.#since.delete(what)
    }
    for (const call of this.#world.pending()) {
      // A try waits 3 s for the database.
      const late = now - call.startedAt - Math.max(call.timeout, call.what === 'try' ? 3_000 : 0)
      if (late > 700) this.#world.violation(`#${call.id} is ${Math.round(late)} ms late`)
    }
  }
}
