/**
 * A key as an SQL literal of MySQL and MariaDB. Hexadecimal, because it means the same under every sql_mode: mysql2's escaping
 * can be broken out of under NO_BACKSLASH_ESCAPES.
 */
export function hexLiteral(key: string): string {
  return `x'${Buffer.from(key, 'utf8').toString('hex')}'`
}
