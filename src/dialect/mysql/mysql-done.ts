import { singleRow, type Ask } from '../../typeorm/raw-connection.js'
import { dateOf, FOREVER, microseconds, PURGE_BATCH, type DoneRows } from '../done-rows.js'
import { isMissingTable, quotedTable } from './mysql-counter.js'

/**
 * The rows of `runOnce` on MySQL and MariaDB. Times are UTC, whatever the session's time zone is. Keys and names are literals that mean the
 * same in every `sql_mode` and character set, and keys are compared as the primary key has them.
 */
export function mysqlDone(table: string): DoneRows {
  const name = quotedTable(table)
  const ago = (milliseconds: number): string => `UTC_TIMESTAMP(6) - INTERVAL ${microseconds(milliseconds)} MICROSECOND`
  return {
    create: [
      `CREATE TABLE IF NOT EXISTS ${name} (lock_key VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY, ` +
        'name VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, done_at DATETIME(6) NOT NULL, ' +
        'KEY done_at (done_at)) ENGINE=InnoDB',
    ],
    isMissing: isMissingTable,

    async read(ask, key, every, isAlone = false) {
      const recent = every < FOREVER ? ` AND done_at > ${ago(every)}` : ''
      const [done, autocommit] = singleRow(
        await ask(
          `SELECT (SELECT DATE_FORMAT(done_at,'%Y-%m-%dT%H:%i:%s.%f') FROM ${name} WHERE lock_key=${ascii(key)}${recent}) AS d,` +
            '@@SESSION.autocommit AS a',
        ),
      )
      // With autocommit off the read has begun a transaction, and its snapshot would be the next borrower's.
      if (isAlone && autocommit === '0') await ask('COMMIT')
      return done === undefined ? undefined : dateOf(done)
    },

    async claim(ask, key, lockName, every, isAlone = false) {
      // IGNORE answers 0 for a row that is there, where an error would count as a failure of the work.
      const inserted = await ask(
        `INSERT IGNORE INTO ${name} (lock_key,name,done_at) VALUES (${ascii(key)},${utf8(lockName)},UTC_TIMESTAMP(6))`,
      )
      if (isAlone) await ask('COMMIT')
      if (affectedBy(inserted) === 1) return true
      if (every >= FOREVER) return false
      const renewed = await ask(
        `UPDATE ${name} SET done_at=UTC_TIMESTAMP(6) WHERE lock_key=${ascii(key)} AND done_at <= ${ago(every)}`,
      )
      return affectedBy(renewed) === 1
    },

    async forget(ask, key) {
      return affectedBy(await committed(ask, `DELETE FROM ${name} WHERE lock_key=${ascii(key)}`)) === 1
    },

    async old(ask, prefix, age) {
      const own = prefix === '' ? '' : ` AND LEFT(lock_key,${prefix.length})=${ascii(prefix)}`
      const rows = await ask(
        `SELECT lock_key FROM ${name} WHERE done_at < ${ago(age)}${own} ORDER BY done_at LIMIT ${PURGE_BATCH}`,
      )
      return (rows as string[][]).map(([key]) => key as string)
    },

    async purge(ask, keys, age) {
      const list = keys.map(ascii).join(',')
      return affectedBy(
        await committed(ask, `DELETE FROM ${name} WHERE lock_key IN (${list}) AND done_at < ${ago(age)}`),
      )
    },
  }
}

/** Where autocommit is off, a statement begins a transaction. */
async function committed(ask: Ask, sql: string): Promise<unknown> {
  const answer = await ask(sql)
  await ask('COMMIT')
  return answer
}

function affectedBy(answer: unknown): number {
  return (answer as { affectedRows?: number }).affectedRows ?? 0
}

function ascii(text: string): string {
  return `_ascii x'${Buffer.from(text, 'latin1').toString('hex')}'`
}

function utf8(text: string): string {
  return `_utf8mb4 x'${Buffer.from(text, 'utf8').toString('hex')}'`
}
