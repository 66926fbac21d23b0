import type { Variation } from '../variation.js'

const both = ['mysql', 'mariadb'] as const

/** A field that mysql2 hands to `typeCast`. */
interface Field {
  readonly type: string
  string(): string | null
}
type Cast = (field: Field, next: () => unknown) => unknown

const numbers: Cast = (field, next) => (/DECIMAL|DOUBLE|FLOAT/.test(field.type) ? Number(field.string()) : next())
const texts: Cast = (field) => field.string()
const booleans: Cast = (field, next) => {
  if (!/TINY|LONG/.test(field.type)) return next()
  const text = field.string()
  return text === null ? null : text === '1' ? true : text === '0' ? false : Number(text)
}
const bigints: Cast = (field, next) => {
  if (!/LONGLONG/.test(field.type)) return next()
  const text = field.string()
  return text === null ? null : BigInt(text)
}

const options: readonly [string, Readonly<Record<string, unknown>>, Partial<Variation>?][] = [
  ['typeCast of decimals to numbers', { typeCast: numbers }, { isFast: true }],
  ['typeCast of everything to text', { typeCast: texts }],
  ['typeCast of 1 and 0 to booleans', { typeCast: booleans }],
  ['typeCast of whole numbers to bigints', { typeCast: bigints }],
  ['namedPlaceholders', { namedPlaceholders: true }],
  ['decimalNumbers', { decimalNumbers: true }],
  ['jsonStrings', { jsonStrings: true }],
  ['dateStrings of the driver', { dateStrings: ['DATE', 'DATETIME'] }],
  ['numbers as text', { supportBigNumbers: true, bigNumberStrings: true }],
  ['numbers as numbers', { supportBigNumbers: false, bigNumberStrings: false }],
  ['compress', { compress: true }],
  ['multipleStatements of the driver', { multipleStatements: true }],
  ['disableEval', { disableEval: true }],
  ['maxPreparedStatements 1', { maxPreparedStatements: 1 }],
  ['enableKeepAlive off', { enableKeepAlive: false }],
  ['maxIdle 1, idleTimeout 500', { maxIdle: 1, idleTimeout: 500 }],
  ['maxIdle 0', { maxIdle: 0, idleTimeout: 200 }],
  ['queueLimit 100', { queueLimit: 100 }],
  ['connectionLimit 4', { connectionLimit: 4 }, { finds: [] }],
  ['trace off', { trace: false }],
  ['timezone of the driver', { timezone: '-09:30' }],
  ['charset of the driver', { charset: 'latin1' }],
  ['charset utf8mb4_bin of the driver', { charset: 'UTF8MB4_BIN' }],
  ['flags without CONNECT_ATTRS', { flags: ['-CONNECT_ATTRS'] }],
  ['flags FOUND_ROWS and IGNORE_SPACE', { flags: ['FOUND_ROWS', 'IGNORE_SPACE'] }],
  ['connectAttributes', { connectAttributes: { program_name: 'shop' } }],
  ['stringifyObjects', { stringifyObjects: true }],
  ['ssl of the driver', { ssl: { rejectUnauthorized: false } }, { kinds: ['mysql'] }],
  ['gracefulEnd', { gracefulEnd: true }],
]

/** Options of mysql2 and its pool: the DataSource's `extra`. */
export const mysqlDrivers: readonly Variation[] = options.map(([name, extra, more]) => ({
  name: `mysql2 ${name}`,
  kinds: both,
  extra,
  bothMajors: true,
  ...more,
}))
