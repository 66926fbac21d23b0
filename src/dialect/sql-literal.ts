/**
 * A key as an SQL literal of MySQL and MariaDB. Hexadecimal, because it means the same under every sql_mode: mysql2's escaping
 * can be broken out of under NO_BACKSLASH_ESCAPES.
 */
export function hexLiteral(key: string): string {
  return `x'${Buffer.from(key, 'utf8').toString('hex')}'`
}

/** The same key as a parameter: where it is ASCII, it is the same in whatever character set the connection has. */
export function asciiParameter(literal: string): string | undefined {
  const key = Buffer.from(literal.slice(2, -1), 'hex').toString('latin1')
  return PRINTABLE_ASCII.test(key) ? key : undefined
}

const PRINTABLE_ASCII = /^[ -~]+$/
