import type { LockHolder } from '../contract/lock-info.js'
import type { LockMode } from '../contract/options.js'
import type { LockRow } from '../dialect/lock-table.js'
import { readPartKey } from '../names/part-keys.js'

/*
 * Where readers and writers are made of ordinary locks, the server shows a gate and many slots. This file makes one lock of them.
 */

/** A row of the lock table, with the key of the name in the place of a slot's. */
export interface GrantedRow extends LockRow {
  /** It is a slot of readers. */
  readonly isSlot?: true
}

/** What the rows of one lock say together. */
export interface Holding {
  readonly mode: LockMode | undefined
  /** The connections that hold the lock, each once; those of readers are shared. */
  readonly holders: readonly LockRow[]
  /** The writer that has the gate, and waits for the readers that are in. */
  readonly draining: LockRow | undefined
}

/** The rows, with those of readers' slots under the key of their name. @param known Keys of names, of which a slot's key may show only a part. */
export function joinSlots(rows: readonly LockRow[], known: () => Iterable<string>): GrantedRow[] {
  const byHash = new Map<string, string>()
  if (rows.some(({ key }) => isHashedSlot(key)))
    for (const key of [...rows.map((row) => row.key), ...known()]) if (HASHED.test(key)) byHash.set(hashOf(key), key)
  return rows.map((row) => {
    const part = readPartKey(row.key)
    if (part?.kind !== 'r') return row
    const key = HASHED.test(part.base) ? (byHash.get(hashOf(part.base)) ?? part.base) : part.base
    return { ...row, key, isSlot: true }
  })
}

export function readHolding(rows: readonly GrantedRow[]): Holding {
  const gate = rows.find(({ isSlot }) => !isSlot)
  const slots = rows.filter(({ isSlot }) => isSlot)
  if (slots.length === 0) {
    const isShared = rows.some((row) => row.isShared)
    return { mode: isShared ? 'read' : undefined, holders: once(rows), draining: undefined }
  }
  const readers = once(slots.filter(({ connectionId }) => connectionId !== gate?.connectionId)).map((row) => ({
    ...row,
    isShared: true,
  }))
  if (gate === undefined) return { mode: 'read', holders: readers, draining: undefined }
  const isWriter = slots.length > readers.length && slots.some(({ connectionId }) => connectionId === gate.connectionId)
  if (readers.length === 0) return { mode: 'write', holders: [gate], draining: undefined }
  // An ordinary lock keeps new readers out, and does not wait for those that are in.
  return isWriter
    ? { mode: 'read', holders: readers, draining: gate }
    : { mode: undefined, holders: [gate, ...readers], draining: undefined }
}

/** Of the claim that holds a lock here. */
export function modeOf(target: {
  readonly isShared?: true | undefined
  readonly gate?: string | undefined
}): LockMode | undefined {
  return target.isShared ? 'read' : target.gate === undefined ? undefined : 'write'
}

export function addOnce(holders: LockHolder[], holder: LockHolder | undefined): void {
  if (holder && holders.every(({ connectionId }) => connectionId !== holder.connectionId)) holders.push(holder)
}

function once(rows: readonly LockRow[]): LockRow[] {
  return [...new Map(rows.map((row) => [row.connectionId, row])).values()]
}

const HASHED = /~[a-z2-7]{26}$/

function hashOf(key: string): string {
  return key.slice(-26)
}

function isHashedSlot(key: string): boolean {
  const part = readPartKey(key)
  return part?.kind === 'r' && HASHED.test(part.base)
}
