import { hash } from 'node:crypto'
import type { LockName } from '../contract/options.js'
import { checkName, hashOf, keyFor } from './lock-name.js'

/*
 * Keys of the parts that a lock of several parts is made of: the permits of a name, and the slots of its readers. Each part is an
 * ordinary named lock. The mapping is frozen, like that of names to keys (lock-name.ts).
 *
 * A part key is
 *
 *     <base>~<kind><number>
 *
 * without leading zeros. The base is the key of the name where that has at most 59 characters, and otherwise its hashed form with a
 * shorter beginning: 32 characters, `~` and the hash. No name has such a key: a plain key has no `~`, and a hashed one ends with
 * `~` and 26 characters. Where keys are numbers (PostgreSQL), a permit's key is the first 64 bits of a hash of its own: SHA-256 of
 * a byte that UTF-8 never has, the text `permit <number>`, NUL, namespace, NUL and name.
 */

/** The most permits of one name. */
export const MOST_PERMITS = 1_000

/** The slots of the readers of one name. */
export const SLOTS_OF_READERS = 64

/** `r`: a slot of readers, 0 to 63; `p`: a permit, 0 to 999. */
export type PartKind = 'r' | 'p'

/** What `~p999` leaves of the longest key. */
const LONGEST_BASE = 59
const READABLE_LENGTH = 32

const PART_KEY = /^(.+)~([rp])(0|[1-9]\d{0,2})$/s
/** No UTF-8 has it. */
const NO_TEXT = Buffer.of(0xff)

/** The beginning of all part keys of a name. */
export function partBase(namespace: string | false, name: LockName): string {
  const key = keyFor(namespace, name)
  if (key.length <= LONGEST_BASE) return key
  return `${key.slice(0, READABLE_LENGTH)}~${hashOf(namespace, checkName(name))}`
}

export function partKey(base: string, kind: PartKind, number: number): string {
  return `${base}~${kind}${number}`
}

export function permitKey(namespace: string | false, name: LockName, number: number): string {
  return partKey(partBase(namespace, name), 'p', number)
}

/** The base, kind and number of a part key; undefined for every key of a name. */
export function readPartKey(
  key: string,
): { readonly base: string; readonly kind: PartKind; readonly number: number } | undefined {
  const [, base, kind, number] = PART_KEY.exec(key) ?? []
  if (base === undefined) return undefined
  return { base, kind: kind as PartKind, number: Number(number) }
}

/** The PostgreSQL advisory key of a permit, signed. */
export function postgresPermitKey(namespace: string | false, name: LockName, number: number): bigint {
  const text = Buffer.from(`permit ${number}\0${namespace || ''}\0${checkName(name)}`, 'utf8')
  return hash('sha256', Buffer.concat([NO_TEXT, text]), 'buffer').readBigInt64BE(0)
}
