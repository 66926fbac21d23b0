import type { Dialect } from '../dialect/dialect.js'
import type { LockRow, LockTable } from '../dialect/lock-table.js'
import { keyFor, keyPrefix, mayBeginWith, nameOf } from '../names/lock-name.js'
import type { LockMode } from '../contract/options.js'
import type { LockHolder, LockInfo, LockList, LockWaiter } from '../contract/lock-info.js'
import type { Claim, ClaimOwner } from '../queue/claim.js'
import { MARKS } from '../dialect/marks.js'
import type { Slots, SlotView } from '../queue/slots.js'
import type { Target, Targets } from '../names/targets.js'
import { addOnce, joinSlots, modeOf, readHolding, type GrantedRow } from './granted-rows.js'
import { asHeld, localHolder } from './holder-lookup.js'
import { readNotes, type NotedLocks } from './lock-notes.js'
import { nameOfPermit, permitOf, withoutPermit } from './permit-names.js'
import { timeOrigin, wallNow } from '../util/clock.js'

/** A lock, as far as it is known before its holder is. */
interface Entry {
  readonly key: string
  readonly permit: number | undefined
  readonly holders: LockHolder[]
  mode: LockMode | undefined
  readonly waiters: LockWaiter[]
}

export interface ListSettings {
  readonly prefix: string
  readonly waiting: boolean
  /** True: also locks of other namespaces, with their keys for names. */
  readonly isEverywhere?: boolean
}

/** Finds out what locks there are: in the server's list, in the notes of other processes, and in this service. */
export class LockLister {
  readonly #slots: Slots
  readonly #targets: Targets
  readonly #owner: ClaimOwner

  constructor(slots: Slots, targets: Targets, owner: ClaimOwner) {
    this.#slots = slots
    this.#targets = targets
    this.#owner = owner
  }

  async list({ prefix, waiting, isEverywhere = false }: ListSettings): Promise<LockList> {
    const { sessions } = this.#slots
    const dialect = await sessions.sureDialect()
    const { table, notes } = await sessions.inspect(async (ask) => {
      const found = await dialect.readLocks(ask)
      const known = found.missing === undefined ? [] : await this.#heldOfKnown(ask, found)
      return { table: { ...found, rows: [...found.rows, ...known] }, notes: readNotes(await dialect.readNotes(ask)) }
    })
    const list = this.#entries(table, notes)
      .map((entry) => this.#describe(entry, notes, isEverywhere))
      .filter((info) => info !== undefined)
      .filter((info) => (isEverywhere || this.#isWanted(info, prefix)) && (!waiting || info.waiters.length > 0))
      .sort((a, b) => (a.key < b.key ? -1 : 1))
    // Not enumerable: the list looks and compares like any other.
    return Object.defineProperty(list, 'note', { value: noteOf(table) })
  }

  /** Where the server does not list, it can still be asked about keys one has heard of. */
  async #heldOfKnown(ask: (sql: string) => Promise<unknown>, table: LockTable): Promise<LockRow[]> {
    const { dialect } = this.#slots.sessions
    const known = [...this.#targets.known]
    const keys = [...new Set([...table.rows.map(({ key }) => key), ...known.map(({ key }) => key)])]
    const rows: LockRow[] = await this.#slotsOfKnown(ask, known)
    for (let i = 0; i < keys.length; i += dialect.batchLimit) {
      const some = keys.slice(i, i + dialect.batchLimit)
      const questions = some.map((key) => dialect.holderId(dialect.literal(key)))
      const answers = dialect.readBatch(await ask(dialect.batch(questions.join(','), questions.length)))
      some.forEach((key, at) => {
        const connectionId = answers[at]
        if (connectionId) rows.push({ key, isGranted: true, connectionId })
      })
    }
    return rows
  }

  /** The readers of the names that are used with a mode. Their gates are among the keys. */
  async #slotsOfKnown(ask: (sql: string) => Promise<unknown>, known: readonly Target[]): Promise<LockRow[]> {
    const { dialect } = this.#slots.sessions
    const rows: GrantedRow[] = []
    for (const { key, literal } of known.filter(({ gate }) => gate !== undefined)) {
      const [answer] = dialect.readBatch(await ask(dialect.single(dialect.holderId(literal))))
      for (const connectionId of answer?.split(' ').slice(1) ?? [])
        rows.push({ key, isGranted: true, connectionId, isSlot: true })
    }
    return rows
  }

  #entries(table: LockTable, notes: NotedLocks): Entry[] {
    const entries = new Map<string, Entry>()
    const { dialect } = this.#slots.sessions
    const entryOf = (key: string): [Entry, SlotView | undefined] => {
      const id = dialect.exclusionKey(key)
      const slot = this.#slots.get(id)
      let entry = entries.get(id)
      if (!entry) {
        // The server may have folded an exact name; here it is known as it was given.
        const own = [slot?.holder, slot?.head].find((claim) => claim?.target.exclusionKey === id)?.target.key
        const permit = permitOf(own ?? key, this.#targets)
        entries.set(id, (entry = { key: own ?? key, permit, holders: [], mode: undefined, waiters: [] }))
      }
      return [entry, slot]
    }
    const known = (): string[] => [
      ...[...this.#slots.all].flatMap((slot) => (slot.holder ?? slot.head)?.target.key ?? []),
      ...[...this.#targets.known].map(({ key }) => key),
      ...notes.names.keys(),
    ]
    const granted = new Map<Entry, GrantedRow[]>()
    for (const row of joinSlots(table.rows, known)) {
      if (isMark(row.key)) continue
      const [entry, slot] = entryOf(row.key)
      if (!row.isGranted) this.#addWaiters(entry, row, slot)
      else if (!granted.get(entry)?.push(row)) granted.set(entry, [row])
    }
    for (const [entry, rows] of granted) this.#addHolders(entry, rows, notes)
    for (const slot of this.#slots.all) {
      const key = (slot.holder ?? slot.head)?.target.key
      if (key === undefined) continue
      const [entry] = entryOf(key)
      if (entry.holders.length === 0) {
        addOnce(entry.holders, localHolder(slot.holder))
        if (slot.holder) entry.mode = modeOf(slot.holder.target)
      }
      if (!entry.waiters.some((waiter) => local.has(waiter))) entry.waiters.push(...localWaiters(slot.waiters))
    }
    for (const { waiters, targets } of this.#slots.semaphores) {
      // They wait for any of the permits: the list shows them once, with the first permit that is held.
      const most = Math.max(0, ...waiters.map(({ permits }) => permits))
      for (let number = 0; number < most; number++) {
        const entry = entries.get(dialect.exclusionKey(targets.at(number).key))
        if (!entry?.holders.length) continue
        entry.waiters.push(...localWaiters(waiters))
        break
      }
    }
    return [...entries.values()]
  }

  #addHolders(entry: Entry, rows: readonly GrantedRow[], notes: NotedLocks): void {
    const { mode, holders, draining } = readHolding(rows)
    const own = this.#slots.holdersOf(this.#slots.sessions.dialect.exclusionKey(entry.key))
    const isAlone = mode === undefined && holders.length === 1
    entry.mode = mode ?? (isAlone && own[0] ? modeOf(own[0].target) : undefined)
    for (const row of holders) addOnce(entry.holders, holderOf(row, entry, own, notes))
    if (draining) entry.waiters.unshift({ ...waiterOf(draining), mode: 'write' })
  }

  /** Where this process waits in the server's queue, all of its callers do. */
  #addWaiters(entry: Entry, row: LockRow, slot: SlotView | undefined): void {
    const waiter = waiterOf(row)
    if (!slot?.hasWaiters || !this.#slots.sessions.open.hasConnection(row.connectionId)) entry.waiters.push(waiter)
    else entry.waiters.push(...localWaiters(slot.waiters, waiter))
  }

  #describe(
    { key, permit, holders, mode, waiters }: Entry,
    notes: NotedLocks,
    isEverywhere: boolean,
  ): LockInfo | undefined {
    const [holder] = holders
    if (!holder) return undefined // it has just been given back
    // In another namespace nothing confirms a note; a caller that lists everything has to compare the key, too.
    const name = this.#nameOf(key, notes) ?? (isEverywhere ? notes.names.get(key) : undefined)
    return {
      key,
      ...(name !== undefined && { name }),
      ...asHeld(mode, permit),
      holder,
      holders,
      waiters,
    }
  }

  #nameOf(key: string, notes: NotedLocks): string | undefined {
    const { namespace } = this.#targets
    const { dialect } = this.#slots.sessions
    const id = dialect.exclusionKey(key)
    const slot = this.#slots.get(id)
    const own = [slot?.holder, slot?.head, ...this.#slots.holdersOf(id)].find((claim) => claim?.target.key === key)
    // Another service of the DataSource may know the key by another name, in a namespace of its own.
    if (
      own &&
      (own.owner === this.#owner || own.target.permit !== undefined || keyOf(dialect, namespace, own.name) === key)
    )
      return own.name
    const noted = notes.names.get(key)
    if (!dialect.hasReadableKeys) {
      // Only a process that has lately used a name knows its key.
      for (const target of this.#targets.known) if (target.key === key) return target.name
      return undefined
    }
    // Every user can leave a note: the key has to confirm it.
    return (
      nameOf(namespace, key) ??
      nameOfPermit(namespace, key, noted) ??
      (noted !== undefined && fits(namespace, noted, key) ? noted : undefined)
    )
  }

  #isWanted({ key, name }: LockInfo, prefix: string): boolean {
    const { namespace } = this.#targets
    const isOwn = this.#slots.get(this.#slots.sessions.dialect.exclusionKey(key))?.isUsedBy(this.#owner) === true
    // Locks are those of one database there, and any of them may be of this namespace.
    if (!this.#slots.sessions.dialect.hasReadableKeys)
      return name === undefined ? prefix === '' : name.startsWith(prefix)
    if (!isOwn && !key.startsWith(keyPrefix(namespace))) return false
    return name === undefined ? mayBeginWith(namespace, withoutPermit(key), prefix) : name.startsWith(prefix)
  }
}

/** Waiters of this process: known once each, however many of its connections wait. */
const local = new WeakSet<LockWaiter>()

function localWaiters(claims: readonly Claim[], first?: LockWaiter): LockWaiter[] {
  return claims.map((claim, at) => {
    const mode = modeOf(claim.target)
    const since = new Date(timeOrigin + claim.startedAt)
    const waiter = { ...(at === 0 && first), since, ...(mode !== undefined && { mode }) }
    local.add(waiter)
    return waiter
  })
}

function waiterOf({ forMs, ...row }: LockRow): LockWaiter {
  return {
    ...who(row),
    ...(forMs !== undefined && { since: new Date(wallNow() - forMs) }),
    ...(row.isShared && { mode: 'read' }),
  }
}

function holderOf(row: LockRow, { mode, permit }: Entry, claims: readonly Claim[], notes: NotedLocks): LockHolder {
  const own = localHolder(claims.find(({ session }) => session?.connectionId === row.connectionId))
  if (own) return own
  return {
    ...who(row),
    ...notes.holder(row.key, row.connectionId),
    ...asHeld(row.isShared ? 'read' : mode === 'write' ? mode : undefined, permit),
  }
}

function who({ connectionId, user, host, database }: Omit<LockRow, 'forMs'>): LockHolder {
  return {
    connectionId,
    ...(user !== undefined && { user }),
    ...(host !== undefined && { host }),
    ...(database !== undefined && { database }),
  }
}

function keyOf(dialect: Dialect, namespace: string | false, name: string): string | undefined {
  try {
    return dialect.keyFor(namespace, name)
  } catch {
    return undefined // an exact name
  }
}

function fits(namespace: string | false, name: string, key: string): boolean {
  try {
    return keyFor(namespace, name) === key
  } catch {
    return false
  }
}

/** The polling marks of contest.ts are the library's own business. */
function isMark(key: string): boolean {
  return key.startsWith(keyPrefix(MARKS)) && key.includes('~')
}

function noteOf({ missing }: LockTable): string | undefined {
  return missing === undefined
    ? undefined
    : `Locks that only other applications know of may be missing: ${missing}. Shown are the locks of this service, and names it has lately asked for.`
}
