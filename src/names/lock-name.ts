import { hash } from 'node:crypto'
import { InvalidLockNameError } from '../contract/errors.js'
import type { LockName } from '../contract/options.js'
import { show } from '../util/show.js'

/*
 * Names to keys: a name comes from the caller, a key goes to the server. The mapping is frozen: processes with different versions of
 * this library must compute the same key.
 *
 * A key is `<namespace>.<name>` (without a namespace: the name) as long as that is at most 64 characters of printable ASCII
 * without upper case and without `~`, and the namespace has no dot. Everything else becomes
 *
 *     <readable beginning>~<hash>
 *
 * where the hash is the first 26 characters (130 bits) of the lowercase RFC 4648 base32 of the SHA-256 of namespace, NUL, name,
 * in UTF-8. No two names share a key: the first `.` ends the namespace, only hashed keys have a `~`, and what servers
 * fold (case, accents, compatibility forms) never gets into a key. Without a namespace, `a.b` is the key that the name `b`
 * has in the namespace `a`.
 */

/** Every server accepts keys of this length: MySQL takes 64 characters, MariaDB 192 bytes. */
const LONGEST_KEY = 64
const LONGEST_NAME = 1_024
const HASH_LENGTH = 26
const READABLE_LENGTH = LONGEST_KEY - HASH_LENGTH - 1

const PLAIN_KEY = /^[ -@[-}]{1,64}$/
const BASE32 = 'abcdefghijklmnopqrstuvwxyz234567'

/** A dialect's rules for names that its server accepts unchanged. */
export interface ExactNameRules {
  /** For error messages. */
  readonly server: string
  /** Why the server would refuse this name ("it has 65 characters, and …"); undefined if it accepts it. */
  readonly refusal: (name: string) => string | undefined
}

/**
 * The key of a name. A bigint stands for its decimal text: `42n` and `'42'` are one name.
 *
 * @throws InvalidLockNameError for a name that is empty, too long, not well-formed text, or neither string nor bigint.
 */
export function keyFor(namespace: string | false, name: LockName): string {
  const text = typeof name === 'string' ? name : checkName(name)
  const key = namespace ? `${namespace}.${text}` : text
  // The hot path: a plain key proves that the name in it is valid.
  if (text !== '' && PLAIN_KEY.test(key) && !(namespace && namespace.includes('.'))) return key
  return `${readable(key)}~${hashOf(namespace, checkName(text))}`
}

/** The beginning of every key of a namespace. A namespace that cannot be part of a key unchanged may share it with others. */
export function keyPrefix(namespace: string | false): string {
  return namespace ? readable(`${namespace}.`) : ''
}

/** The name behind a key of a namespace, if the key shows it. */
export function nameOf(namespace: string | false, key: string): string | undefined {
  if (!PLAIN_KEY.test(key)) return undefined
  if (namespace === false) return key
  return key.startsWith(`${namespace}.`) && !namespace.includes('.') ? key.slice(namespace.length + 1) : undefined
}

/** Whether a key of a namespace can belong to a name that begins like this; shortened keys do not show all of it. */
export function mayBeginWith(namespace: string | false, key: string, prefix: string): boolean {
  const name = nameOf(namespace, key)
  if (name !== undefined) return name.startsWith(prefix)
  const seen = key.slice(0, key.lastIndexOf('~') >>> 0)
  const wanted = readable(namespace ? `${namespace}.${prefix}` : prefix)
  return (
    seen.startsWith(wanted.slice(0, seen.length)) && (wanted.length <= seen.length || seen.length === READABLE_LENGTH)
  )
}

/**
 * The key of a name with `exactName`: the name itself, if the server takes it.
 *
 * @throws InvalidLockNameError if it does not.
 */
export function exactKeyFor(name: LockName, rules: ExactNameRules): string {
  if (typeof name === 'bigint') {
    throw new InvalidLockNameError(
      `${name}n cannot be an exact name on ${rules.server}, where lock names are text: pass '${name}'. A bigint is an exact key on PostgreSQL only.`,
    )
  }
  const text = checkName(name)
  const refusal = rules.refusal(text)
  if (refusal) throw new InvalidLockNameError(`${show(text)} cannot be an exact name on ${rules.server}: ${refusal}.`)
  return text
}

/**
 * Folds at least what MySQL folds in lock names (case, É = é, İ = i, the Kelvin sign = k) and more. It only decides which callers of this
 * process queue together: folding too much makes callers wait for each other, folding too little would give two of them one
 * lock. Two exact names of one fold may still be two locks on the server.
 *
 * Keys of `keyFor` fold to themselves, so only exact names need to be folded to compare the two.
 */
export function foldForExclusion(key: string): string {
  // İ first: its full lower case is two characters, where MySQL's is a plain i.
  return key.replaceAll('İ', 'i').normalize('NFKC').toLowerCase().toUpperCase().toLowerCase()
}

/** The PostgreSQL advisory key of a name: the first 64 bits of the same hash, signed. */
export function postgresKeyFor(namespace: string | false, name: LockName): bigint {
  return digest(namespace, checkName(name)).readBigInt64BE(0)
}

/**
 * The text of a name.
 *
 * @throws InvalidLockNameError for a value that no server accepts as a name.
 */
export function checkName(name: unknown): string {
  if (typeof name === 'bigint') return name.toString()
  if (typeof name !== 'string') {
    throw new InvalidLockNameError(`Lock names must be strings or bigints; got ${show(name)}.`)
  }
  if (name === '') throw new InvalidLockNameError('Lock names must not be empty.')
  if (name.length > LONGEST_NAME) {
    throw new InvalidLockNameError(
      `Lock names may have at most ${LONGEST_NAME} characters; ${show(name)} has ${name.length}.`,
    )
  }
  if (!name.isWellFormed()) {
    throw new InvalidLockNameError(
      `Lock names must be well-formed Unicode; ${show(name)} has half of a surrogate pair.`,
    )
  }
  return name
}

/** The hash in keys that do not show the whole name. */
export function hashOf(namespace: string | false, name: string): string {
  return base32(digest(namespace, name)).slice(0, HASH_LENGTH)
}

function digest(namespace: string | false, name: string): Buffer {
  return hash('sha256', `${namespace || ''}\0${name}`, 'buffer')
}

/** ASCII rules only, so that no version of Unicode can change a key. */
function readable(text: string): string {
  return text
    .replace(/[^ -}]+/g, '_')
    .toLowerCase()
    .slice(0, READABLE_LENGTH)
}

function base32(bytes: Uint8Array): string {
  let text = ''
  let buffer = 0
  let bits = 0
  for (const byte of bytes) {
    buffer = ((buffer << 8) | byte) & 0xfff
    for (bits += 8; bits >= 5; bits -= 5) text += BASE32[(buffer >> (bits - 5)) & 31]
  }
  return text
}
