import { createHash } from 'node:crypto'
import type { LockName } from '../contract/options.js'
import { keyFor } from '../names/lock-name.js'
import type { Target } from '../names/targets.js'

/*
 * The key of a name in the table of done names: the readable key of its lock, on every server, so that PostgreSQL's numbers do not decide
 * whether two names are one. An exact name is its own key, after a mark: no readable key begins with `~`.
 *
 * No key of the table ends with a space: MySQL and MariaDB compare the texts of a primary key without the spaces at their ends, so two names
 * would be one row. A readable key ends with `~` instead, as no other one does.
 */

const PLAIN = /^[ -~]{0,63}[!-~]$/
const EXACT = '~='
const HASHED = '~#'

export function doneKey(namespace: string | false, { name, key }: Target, isExact: boolean): string {
  return isExact ? exactKey(`${EXACT}${key}`) : readableKey(namespace, name)
}

function readableKey(namespace: string | false, name: LockName): string {
  return keyFor(namespace, name).replace(/ $/, '~')
}

function exactKey(text: string): string {
  if (PLAIN.test(text)) return text
  return `${HASHED}${createHash('sha256').update(text).digest('hex').slice(0, 62)}`
}

/**
 * Whether a row is that of a name in this namespace. The beginning of a key does not say so: without a namespace every key begins with
 * nothing, and `Shop`, `shop` and `shop.eu` share theirs.
 */
export function isOfNamespace(namespace: string | false, key: string, name: string): boolean {
  // PostgreSQL keeps the symbol of NUL in its place, and escapes in a database whose encoding may lack characters. The key decides.
  const whole = name.replaceAll(/\\u([0-9a-f]{4})/g, (_, code: string) => String.fromCharCode(parseInt(code, 16)))
  return [name, whole, ...[name, whole].map((one) => one.replaceAll('\u2400', '\0'))].some((one) => {
    try {
      return readableKey(namespace, one) === key
    } catch {
      return false // not written by this library
    }
  })
}
