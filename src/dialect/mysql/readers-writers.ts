import type { Holders } from '../holders.js'
import { SLOTS_OF_READERS, partKey } from '../../names/part-keys.js'
import { hexLiteral } from './sql-literal.js'

/*
 * Readers and writers on MySQL and MariaDB, which have no shared named locks: made of ordinary ones. The gate is the ordinary lock of the
 * name, and there are 64 slots. A reader takes one slot, and looks first whether the gate is free. A writer takes the gate, then every
 * slot. A writer holds every slot, so no reader can hold one: that is the proof. The gate makes writers one, and gives them precedence.
 *
 * A lock of several parts has one literal: a letter for its kind, the gate and the beginning of the slots' keys, in hexadecimal. Every
 * expression about it is made from the literal alone, so requests about it are batched, repeated and reconciled like all others:
 *
 *   r   one reader: any slot that this session has
 *   w   the writer: the gate and all slots
 *   f   the slots that a writer with the gate still has to take, by number
 *   i   for questions from outside: the name, however it is held
 *
 * A session owns its locks re-entrantly, so a part that it has is never taken again: `take` is only sent where the session has no part,
 * `fill` looks at each slot first, and a statement that was half executed is followed by `ownsAllOrNone`, which releases the rest.
 */

export type PartedKind = 'r' | 'w' | 'i'

/** The literal of a lock of several parts. */
export function partedLiteral(kind: PartedKind, key: string, base: string): string {
  return `${kind}${hexLiteral(key)}${hexLiteral(base)}`
}

/** True for the literal of one ordinary lock. */
export function isPlain(literal: string): boolean {
  return literal.charCodeAt(0) === PLAIN
}

const PLAIN = 'x'.charCodeAt(0)

/** The literal of these slots of a writer. */
export function fillLiteral(writer: string, slots: readonly number[]): string {
  return `f${slots.join(',')}${writer.slice(1)}`
}

interface Parts {
  readonly kind: string
  readonly gate: string
  readonly slots: readonly string[]
}

function partsOf(literal: string): Parts {
  const [head = '', gate = '', base = ''] = literal.split('x')
  const listed = head.slice(1)
  const numbers = listed === '' ? ALL : listed.split(',').map(Number)
  const name = Buffer.from(base.slice(1, -1), 'hex').toString('utf8')
  return {
    kind: head.slice(0, 1),
    gate: `x${gate}`,
    slots: numbers.map((number) => hexLiteral(partKey(name, 'r', number))),
  }
}

const ALL: readonly number[] = Array.from({ length: SLOTS_OF_READERS }, (_, number) => number)

/** 1 taken, 0 busy: then nothing is kept. */
export function take(literal: string): string {
  const { kind, gate, slots } = partsOf(literal)
  if (kind === 'r')
    return `IF(IS_FREE_LOCK(${gate}),CASE ${each(slots, (slot) => `WHEN GET_LOCK(${slot},0) THEN 1`, ' ')} ELSE 0 END,0)`
  const isMissing = `CASE ${each(slots, (slot) => `WHEN NOT IFNULL(GET_LOCK(${slot},0),0) THEN 1`, ' ')} ELSE 0 END`
  return `IF(GET_LOCK(${gate},0),IF(${isMissing},${released({ kind, gate, slots })}*0,1),0)`
}

/** 1 when all parts were released, otherwise 0; none is kept. */
export function give(literal: string): string {
  const parts = partsOf(literal)
  return `IF(${released(parts)}>=${parts.kind === 'r' ? 1 : parts.slots.length + 1},1,0)`
}

export function passTurn(literal: string, mark: string): string {
  return `CONCAT_WS('/',${give(literal)},IF(IS_FREE_LOCK(${mark}),${take(literal)},-1))`
}

/** A digit for each slot of the literal: 1 where this session has it now. */
export function fill(literal: string): string {
  const { slots } = partsOf(literal)
  return `CONCAT(${each(slots, (slot) => `IF(${isOwn(slot)},1,IFNULL(GET_LOCK(${slot},0),0))`)})`
}

export function isFree(literal: string): string {
  const { kind, gate, slots } = partsOf(literal)
  const free = each(slots, (slot) => `IS_FREE_LOCK(${slot})`, kind === 'r' ? ' OR ' : ' AND ')
  return `IF(IS_FREE_LOCK(${gate}) AND (${free}),1,0)`
}

export function isWanted(literal: string, mark: string): string {
  return `IF(IS_FREE_LOCK(${partsOf(literal).gate}) AND IS_FREE_LOCK(${mark}),0,1)`
}

export function owns(literal: string): string {
  return `IF(${isWhole(partsOf(literal))},1,0)`
}

export function ownsAllOrNone(literal: string): string {
  const parts = partsOf(literal)
  return parts.kind === 'f' ? '0' : `IF(${isWhole(parts)},1,${released(parts)}*0)`
}

/** The gate's holder, or 0; then those of the slots. */
export function holderIds(literal: string): string {
  const { gate, slots } = partsOf(literal)
  return `CONCAT_WS(' ',IFNULL(IS_USED_LOCK(${gate}),0),${each(slots, (slot) => `IS_USED_LOCK(${slot})`)})`
}

/** The connections of that answer: the writer that has the lock, else the readers, else the writer that waits at the gate. */
export function readHolders(answer: string): Holders {
  const [gate = '0', ...slots] = answer.split(' ')
  const readers = [...new Set(slots.filter((id) => id !== gate))]
  const isWriter = slots.includes(gate)
  if (gate === '0') return { connectionIds: readers, mode: readers.length > 0 ? 'read' : undefined }
  if (readers.length > 0 && isWriter) return { connectionIds: [...readers, gate], mode: 'read' }
  // Without a slot it is an ordinary lock.
  return { connectionIds: [gate, ...readers], mode: isWriter ? 'write' : undefined }
}

export function fencingToken(literal: string, nothing: string): string {
  return `IF(${isWhole(partsOf(literal))},UUID_SHORT(),${nothing})`
}

/** How many parts the session has released. The gate is the last: what waits for it finds the slots free. */
function released({ kind, gate, slots }: Parts): string {
  const all = kind === 'w' ? [...slots, gate] : slots
  return `(${each(all, (part) => `IFNULL(RELEASE_LOCK(${part}),0)`, '+')})`
}

function isWhole({ kind, gate, slots }: Parts): string {
  return kind === 'w' ? each([gate, ...slots], isOwn, ' AND ') : each(slots, isOwn, ' OR ')
}

function isOwn(part: string): string {
  return `(IS_USED_LOCK(${part})<=>CONNECTION_ID())`
}

function each(parts: readonly string[], expression: (part: string) => string, between = ','): string {
  return parts.map(expression).join(between)
}
