/**
 * A key as an SQL literal of MySQL and MariaDB. Hexadecimal, because it means the same under every sql_mode: mysql2's escaping
 * can be broken out of under NO_BACKSLASH_ESCAPES.
 */
export function hexLiteral(key: string): string {
  return `x'${Buffer.from(key, 'utf8').toString('hex')}'`
}

/**
 * The same key as a parameter of a prepared statement. The rule: the key's bytes are the same whichever way they travel. MariaDB
 * compares names byte for byte, and a text would be converted to `collation_connection` on its way: in utf16, ucs2 or utf32 it is
 * another name than the literal. Bytes are not converted. Drivers that send bytes as a text all the same get ASCII only, and CONVERT
 * brings that back from every character set.
 */
export const KEY_PARAMETER = 'CONVERT(? USING utf8mb4)'

/** What goes with it; undefined for a key that can only be written out. */
export function keyParameter(literal: string): Buffer | undefined {
  if (!literal.startsWith('x')) return undefined // several parts
  const key = Buffer.from(literal.slice(2, -1), 'hex')
  return PRINTABLE_ASCII.test(key.toString('latin1')) ? key : undefined
}

const PRINTABLE_ASCII = /^[ -~]+$/

/** A release and the next lock of one caller in a batch, with their keys as parameters. */
export const GIVE_AND_TAKE = `SELECT CONCAT_WS(',',RELEASE_LOCK(${KEY_PARAMETER}),GET_LOCK(${KEY_PARAMETER},0)) AS r`
