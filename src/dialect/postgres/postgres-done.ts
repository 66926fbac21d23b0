import { createHash } from 'node:crypto'
import { singleValue } from '../../typeorm/raw-connection.js'
import { dateOf, FOREVER, microseconds, PURGE_BATCH, type DoneRows, type OldRow } from '../done-rows.js'
import { flawOfDoneTable } from './done-table-flaw.js'
import { isMissingTable, LONGEST_NAME, quotedTable } from './postgres-counter.js'

const TIME = `pg_catalog.to_char(done_at AT TIME ZONE 'UTC','YYYY-MM-DD"T"HH24:MI:SS.US')`

/** The rows of `runOnce` on PostgreSQL. */
export function postgresDone(table: string): DoneRows {
  const name = quotedTable(table)
  const index = quotedTable(indexName(table.split('.').at(-1) ?? ''))
  const ago = (milliseconds: number): string =>
    `pg_catalog.clock_timestamp() - INTERVAL '${microseconds(milliseconds)} microseconds'`
  return {
    create: [
      `CREATE TABLE IF NOT EXISTS ${name} (lock_key VARCHAR(64) COLLATE "C" NOT NULL PRIMARY KEY, name TEXT NOT NULL, ` +
        'done_at TIMESTAMPTZ NOT NULL)',
      `CREATE INDEX IF NOT EXISTS ${index} ON ${name} (done_at, lock_key)`,
    ],
    isMissing: isMissingTable,
    flaw: (ask) => flawOfDoneTable(ask, text(name)),

    async read(ask, key, every) {
      const recent = every < FOREVER ? ` AND done_at > ${ago(every)}` : ''
      const done = singleValue(await ask(`SELECT ${TIME} AS d FROM ${name} WHERE lock_key=${text(key)}${recent}`))
      return done === undefined ? undefined : dateOf(done)
    },

    async claim(ask, key, lockName, every) {
      const onConflict =
        every < FOREVER ? `UPDATE SET done_at=pg_catalog.clock_timestamp() WHERE d.done_at <= ${ago(every)}` : 'NOTHING'
      const rows = await ask(
        `INSERT INTO ${name} AS d (lock_key,name,done_at) VALUES (${text(key)},${storedName(lockName)},pg_catalog.clock_timestamp()) ` +
          `ON CONFLICT (lock_key) DO ${onConflict} RETURNING '1'`,
      )
      return countOf(rows) === 1
    },

    async forget(ask, key) {
      return countOf(await ask(`DELETE FROM ${name} WHERE lock_key=${text(key)} RETURNING '1'`)) === 1
    },

    async old(ask, prefix, age, last) {
      const own = prefix === '' ? '' : ` AND pg_catalog.left(lock_key,${prefix.length})=${text(prefix)}`
      const at = last && `TIMESTAMPTZ '${last[2]}Z'`
      const rest = last ? ` AND done_at >= ${at} AND (done_at > ${at} OR lock_key > ${text(last[0])})` : ''
      const rows = await ask(
        `SELECT lock_key,name,${TIME} FROM ${name} WHERE done_at < ${ago(age)}${rest}${own} ` +
          `ORDER BY done_at,lock_key LIMIT ${PURGE_BATCH}`,
      )
      return rows as OldRow[]
    },

    async purge(ask, keys, age) {
      const list = keys.map(text).join(',')
      const old = `SELECT lock_key FROM ${name} WHERE lock_key IN (${list}) AND done_at < ${ago(age)} FOR UPDATE SKIP LOCKED`
      return countOf(await ask(`DELETE FROM ${name} WHERE lock_key IN (${old}) RETURNING '1'`))
    },
  }
}

function countOf(rows: unknown): number {
  return (rows as readonly unknown[]).length
}

/** A longer name is cut off by the server, which might take another relation for the index then. */
function indexName(table: string): string {
  const name = `${table}_done_at`
  if (Buffer.byteLength(name) <= LONGEST_NAME) return name
  return `named_lock_done_at_${createHash('sha256').update(table).digest('hex').slice(0, 32)}`
}

/** NUL, which no text of PostgreSQL has, becomes its symbol. In a database whose encoding may lack characters, they are escaped. */
function storedName(name: string): string {
  const stored = name.replaceAll('\0', '\u2400')
  if (/^[ -~]*$/.test(stored)) return text(stored)
  const bytes = Buffer.from(stored, 'utf8').toString('hex')
  const asItIs = `pg_catalog.convert_from(pg_catalog.decode('${bytes}','hex'),'UTF8')`
  return `CASE pg_catalog.getdatabaseencoding() WHEN 'UTF8' THEN ${asItIs} ELSE ${text(escaped(stored))} END`
}

function escaped(name: string): string {
  const units = Array.from({ length: name.length }, (_, i) => name.charAt(i))
  return units
    .map((unit) => (/[ -~]/.test(unit) ? unit : `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`))
    .join('')
}

/** A literal that means the same with and without standard_conforming_strings. */
function text(value: string): string {
  return `E'${value.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`
}
