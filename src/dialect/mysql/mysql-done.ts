import { singleRow, type Ask } from '../../typeorm/raw-connection.js'
import { dateOf, FOREVER, microseconds, PURGE_BATCH, type DoneRows, type OldRow } from '../done-rows.js'
import { flawOfDoneTable } from './done-table-flaw.js'
import { isMissingTable, quotedTable } from './mysql-counter.js'

const TIME = "DATE_FORMAT(done_at,'%Y-%m-%dT%H:%i:%s.%f')"

/** One more column with the isolation level, by the name that the variable has on the server: MariaDB passes the first over, MySQL the second. */
const ISOLATION = '/*!50720 ,@@SESSION.transaction_isolation*//*M! ,@@SESSION.tx_isolation*/'

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
    flaw: (ask) => flawOfDoneTable(ask, table),

    async read(ask, key, every, isAlone = false) {
      const recent = every < FOREVER ? ` AND done_at > ${ago(every)}` : ''
      const sql =
        `SELECT (SELECT ${TIME} FROM ${name} WHERE lock_key=${ascii(key)}${recent}) AS d,` +
        `@@SESSION.autocommit AS a${ISOLATION}`
      const [done, autocommit, isolation] = singleRow(await ask(sql))
      // With autocommit off the read has begun a transaction, and its snapshot would be the next borrower's.
      const end = isAlone && autocommit === '0' ? () => ask('COMMIT') : () => undefined
      await end()
      if (done === undefined) return undefined
      if (!isAlone || isolation !== 'READ-UNCOMMITTED') return dateOf(done)
      // The transaction that wrote the row may still be rolled back. Not for the session: only for the next statement.
      await ask('SET TRANSACTION ISOLATION LEVEL READ COMMITTED')
      const [committedAt] = singleRow(await ask(sql))
      await end()
      return committedAt === undefined ? undefined : dateOf(committedAt)
    },

    async claim(ask, key, lockName, every, isAlone = false) {
      const send = (sql: string): Promise<unknown> => (isAlone ? committed(ask, sql) : ask(sql))
      // IGNORE answers 0 for a row that is there, where an error would count as a failure of the work.
      const inserted = await send(
        `INSERT IGNORE INTO ${name} (lock_key,name,done_at) VALUES (${ascii(key)},${utf8(lockName)},UTC_TIMESTAMP(6))`,
      )
      if (affectedBy(inserted) === 1) return true
      if (every >= FOREVER) return false
      const renewed = await send(
        `UPDATE ${name} SET done_at=UTC_TIMESTAMP(6) WHERE lock_key=${ascii(key)} AND done_at <= ${ago(every)}`,
      )
      return affectedBy(renewed) === 1
    },

    async forget(ask, key) {
      return affectedBy(await ask(`DELETE FROM ${name} WHERE lock_key=${ascii(key)}`)) === 1
    },

    async old(ask, prefix, age, last) {
      const own = prefix === '' ? '' : ` AND LEFT(lock_key,${prefix.length})=${ascii(prefix)}`
      const at = last && ascii(last[2])
      const rest = last ? ` AND done_at >= ${at} AND (done_at > ${at} OR lock_key > ${ascii(last[0])})` : ''
      // The DELETE would wait for a run that renews its row. SKIP LOCKED is not on every server, and the run holds the lock of that key.
      const rows = await committed(
        ask,
        `SELECT lock_key,HEX(name),${TIME} FROM ${name} WHERE done_at < ${ago(age)}${rest}${own} AND IS_FREE_LOCK(lock_key) ` +
          `ORDER BY done_at,lock_key LIMIT ${PURGE_BATCH}`,
      )
      // In hexadecimal: the connection's character set may lack characters of the name.
      return (rows as OldRow[]).map(
        ([key, hex, doneAt]) => [key, Buffer.from(hex, 'hex').toString('utf8'), doneAt] as const,
      )
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
