import { createHash } from 'node:crypto'
import { keyFor } from '../names/lock-name.js'
import type { Target } from '../names/targets.js'

/*
 * The key of a name in the table of done names: the readable key of its lock, on every server, so that PostgreSQL's numbers do not decide
 * whether two names are one. An exact name is its own key, after a mark: no readable key begins with `~`.
 */

const PLAIN = /^[ -~]{1,64}$/
const EXACT = '~='
const HASHED = '~#'

export function doneKey(namespace: string | false, { name, key }: Target, isExact: boolean): string {
  const text = isExact ? `${EXACT}${key}` : keyFor(namespace, name)
  if (PLAIN.test(text)) return text
  return `${HASHED}${createHash('sha256').update(text).digest('hex').slice(0, 62)}`
}
