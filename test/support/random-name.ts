import { randomBytes } from 'node:crypto'

/** A unique name, such as `nl_5f0c9a1e`. */
export function randomName(prefix: string): string {
  return `${prefix}_${randomBytes(4).toString('hex')}`
}
