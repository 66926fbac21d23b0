import { singleValue } from '../../typeorm/raw-connection.js'
import { dateOf, FOREVER, microseconds, PURGE_BATCH, type DoneRows, type OldRow } from '../done-rows.js'
import { isMissingTable, quotedTable } from './postgres-counter.js'

const TIME = `pg_catalog.to_char(done_at AT TIME ZONE 'UTC','YYYY-MM-DD"T"HH24:MI:SS.US')`

/** The rows of `runOnce` on PostgreSQL. */
export function postgresDone(table: string): DoneRows {
  const name = quotedTable(table)
  const index = quotedTable(`${table.split('.').at(-1)}_done_at`)
  const ago = (milliseconds: number): string =>
    `pg_catalog.clock_timestamp() - INTERVAL '${microseconds(milliseconds)} microseconds'`
  return {
    create: [
      `CREATE TABLE IF NOT EXISTS ${name} (lock_key VARCHAR(64) COLLATE "C" NOT NULL PRIMARY KEY, name TEXT NOT NULL, ` +
        'done_at TIMESTAMPTZ NOT NULL)',
      `CREATE INDEX IF NOT EXISTS ${index} ON ${name} (done_at, lock_key)`,
    ],
    isMissing: isMissingTable,

    async read(ask, key, every) {
      const recent = every < FOREVER ? ` AND done_at > ${ago(every)}` : ''
      const done = singleValue(await ask(`SELECT ${TIME} AS d FROM ${name} WHERE lock_key=${text(key)}${recent}`))
      return done === undefined ? undefined : dateOf(done)
    },

    async claim(ask, key, lockName, every) {
      const onConflict =
        every < FOREVER ? `UPDATE SET done_at=pg_catalog.clock_timestamp() WHERE d.done_at <= ${ago(every)}` : 'NOTHING'
      const rows = await ask(
        `INSERT INTO ${name} AS d (lock_key,name,done_at) VALUES (${text(key)},${text(lockName)},pg_catalog.clock_timestamp()) ` +
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
      return countOf(
        await ask(`DELETE FROM ${name} WHERE lock_key IN (${list}) AND done_at < ${ago(age)} RETURNING '1'`),
      )
    },
  }
}

function countOf(rows: unknown): number {
  return (rows as readonly unknown[]).length
}

/** A literal that means the same with and without standard_conforming_strings. NUL, which no text of PostgreSQL has, becomes its symbol. */
function text(value: string): string {
  return `E'${value.replaceAll('\0', '\u2400').replaceAll('\\', '\\\\').replaceAll("'", "''")}'`
}
