import { READERS } from '../holders.js'

/*
 * Every function and table stands with its schema: an application may have a function of that name in a schema that its search_path
 * has before pg_catalog, or a temporary table, which is always before it.
 *
 * What is asked about a lock, as a code of one letter and a literal: `t42` takes the lock 42. Literals are the key's number;
 * with `s` before it, the lock is taken for readers; with `m`, it is a polling mark, which is a pair of integers. With `x` before
 * all that, the lock lives in the running transaction and ends with it.
 *
 *     t take   g give   p pass turn (`p42;m7`)   f is free   o owns   h holder   w wait (in `wait` only)
 *     x fencing token   y the same on a connection that may be in a transaction
 *     i take the first of several that is free (`i42 43`)   j the first that the session owns (`j42 43`)
 *     q take for readers, unless the writers' mark is taken (`qs42`)   a does a session want it alone (`as42;m7`)
 */

/** The name of the prepared statement that takes and gives back. */
export const PREPARED = 'typeorm_named_lock'

const OPERATIONS: Readonly<Record<string, number>> = { t: 0, g: 1, ts: 2, gs: 3, tm: 4, gm: 5, qs: 6 }

/** The mark of a key for which a session polls: a pair of integers, like other marks, that SQL can work out. */
const WRITERS = 0x6c6f_636b_5f77_7274n

export function writersMark(key: string): string {
  return `m${BigInt.asIntN(64, BigInt(key) ^ WRITERS)}`
}

const WRITERS_PAIR = `((k#${WRITERS})>>32)::int4,(((k#${WRITERS})<<32)>>32)::int4`

/** Every row is evaluated once, in the order of the arrays: a lock that is released first is free for a later row that takes it. */
export const BATCH_STATEMENT =
  `PREPARE ${PREPARED}(int2[],int8[]) AS SELECT pg_catalog.string_agg(CASE WHEN CASE o ` +
  'WHEN 0 THEN pg_catalog.pg_try_advisory_lock(k) WHEN 1 THEN pg_catalog.pg_advisory_unlock(k) ' +
  'WHEN 2 THEN pg_catalog.pg_try_advisory_lock_shared(k) WHEN 3 THEN pg_catalog.pg_advisory_unlock_shared(k) ' +
  'WHEN 4 THEN pg_catalog.pg_try_advisory_lock((k>>32)::int4,((k<<32)>>32)::int4) ' +
  'WHEN 5 THEN pg_catalog.pg_advisory_unlock((k>>32)::int4,((k<<32)>>32)::int4) ' +
  `WHEN 6 THEN CASE WHEN ${markIsFree(WRITERS_PAIR)} THEN pg_catalog.pg_try_advisory_lock_shared(k) ELSE false END END ` +
  `THEN '1' ELSE '0' END,',') AS r FROM ROWS FROM(pg_catalog.unnest($1),pg_catalog.unnest($2)) AS q(o,k)`

/** One statement for many. A session's locks outlive a statement that fails half-way, as on every server. */
export function batchText(codes: readonly string[]): string {
  let operations = ''
  let keys = ''
  for (const code of codes) {
    const kind = isDigit(code, 1) ? (code[0] as string) : code.slice(0, 2)
    const operation = OPERATIONS[kind]
    if (operation === undefined) return mixedText(codes)
    operations += operations === '' ? operation : `,${operation}`
    keys += (keys === '' ? '' : ',') + code.slice(kind.length)
  }
  return `EXECUTE ${PREPARED}('{${operations}}','{${keys}}')`
}

/** The elements of an array are evaluated in order, too. One look at the server's table is enough for many questions. */
function mixedText(codes: readonly string[]): string {
  const looks = codes.filter((code) => 'foh'.includes(code[0] as string)).length
  const from = looks > MOST_LOOKS ? 'l' : LOCKS
  const table = looks > MOST_LOOKS ? `WITH l AS MATERIALIZED (SELECT * FROM ${LOCKS}) ` : ''
  return `${table}SELECT pg_catalog.array_to_string(ARRAY[${codes.map((code) => sqlOf(code, false, from)).join(',')}],',') AS r`
}

const MOST_LOOKS = 4

/** The advisory locks of this database. pg_locks shows those of all of them. */
const LOCKS =
  "(SELECT * FROM pg_catalog.pg_locks WHERE locktype='advisory' AND granted AND " +
  'database=(SELECT oid FROM pg_catalog.pg_database WHERE datname=pg_catalog.current_database())) AS l'

const WAITING = LOCKS.replace('granted', 'NOT granted')

function isDigit(text: string, at: number): boolean {
  const unit = text.charCodeAt(at)
  return unit <= 57 // a digit, or the minus before them
}

/** A code as an SQL expression: a text, or a truth value or whatever is behind it where that is asked for. */
export function sqlOf(code: string, isRaw = false, from = LOCKS): string {
  const operation = code[0] as string
  if (operation === 'i' || operation === 'j') return firstOf(code, from)
  const [literal = '', mark = ''] = code.slice(1).split(';')
  const lock = lockOf(literal)
  switch (operation) {
    case 't':
      return truth(`pg_catalog.pg_try_advisory${lock.scope}_lock${lock.suffix}(${lock.key})`, isRaw)
    case 'g':
      if (lock.scope === '_xact') return truth('true', isRaw)
      return truth(`pg_catalog.pg_advisory_unlock${lock.suffix}(${lock.key})`, isRaw)
    case 'w':
      return `pg_catalog.pg_advisory${lock.scope}_lock${lock.suffix}(${lock.key})::text`
    case 'q':
      return truth(
        `CASE WHEN ${sqlOf(`f${writersMark(lock.key)}`, true)} THEN ${sqlOf(`t${literal}`, true)} ELSE false END`,
        isRaw,
      )
    case 'a':
      return truth(
        `EXISTS(SELECT FROM ${WAITING} WHERE ${lock.where}${EXCLUSIVE}) OR NOT ${sqlOf(`f${mark}`, true)}`,
        isRaw,
      )
    case 'p':
      return (
        `(CASE WHEN ${sqlOf(`g${literal}`, true)} THEN '1/' ELSE '0/' END||` +
        `CASE WHEN NOT ${sqlOf(`f${mark}`, true)} THEN '-1' WHEN ${sqlOf(`t${literal}`, true)} THEN '1' ELSE '0' END)`
      )
    case 'f':
      if (lock.isMark) return truth(markIsFree(lock.key), isRaw)
      return truth(`NOT EXISTS(SELECT FROM ${from} WHERE ${lock.where}${lock.isShared ? EXCLUSIVE : ''})`, isRaw)
    case 'o':
      return truth(
        `EXISTS(SELECT FROM ${from} WHERE ${lock.where}${lock.isShared ? SHARED : EXCLUSIVE} AND pid=pg_catalog.pg_backend_pid())`,
        isRaw,
      )
    case 'h':
      return `coalesce((SELECT CASE WHEN pg_catalog.bool_and(mode='ShareLock') THEN '${READERS} ' ELSE '' END||pg_catalog.string_agg(pid::text,' ') FROM ${from} WHERE ${lock.where}),'')`
    case 'x':
      return `CASE WHEN ${sqlOf(`o${literal}`, true, from)} THEN ${COMMITTED_TOKEN} ELSE '' END`
    case 'y':
      return `CASE WHEN ${sqlOf(`o${literal}`, true, from)} THEN ${FLUSHED_TOKEN} ELSE '' END`
    default:
      throw new Error(`There is no request '${operation}'.`)
  }
}

/** The cases are evaluated in order, and none after the first that holds. */
function firstOf(code: string, from: string): string {
  const operation = code.startsWith('i') ? 't' : 'o'
  const cases = code
    .slice(1)
    .split(' ')
    .map((literal, at) => ` WHEN ${sqlOf(operation + literal, true, from)} THEN '${at + 1}'`)
  return `CASE${cases.join('')} ELSE '0' END`
}

/*
 * A fencing token is the place in the write-ahead log at which a record of ours ends. The log only grows, and after a crash it goes on
 * behind all that had been flushed. So a token may only be given out once its record is flushed: a number that is newer than the
 * flushed part of the log comes again (that goes for transaction ids, too, as they are restored from the log).
 */

/** Logical decoding shows the record as a message with this prefix. */
const MESSAGE = 'typeorm_named_lock'

/**
 * True. From here to the end of the transaction, COMMIT waits for the log: with `off` it does not. Any other value waits for this
 * server at least, and stays, as it may wait for standbys.
 */
export const WAITS_FOR_LOG =
  "pg_catalog.set_config('synchronous_commit',CASE pg_catalog.current_setting('synchronous_commit') WHEN 'off' THEN 'local' " +
  "ELSE pg_catalog.current_setting('synchronous_commit') END,true) IS NOT NULL"

/** Flushed by the COMMIT of this very statement: a COMMIT waits when its transaction has an id and has written to the log. */
export const COMMITTED_TOKEN = `CASE WHEN ${WAITS_FOR_LOG} THEN ${placeOf(`pg_catalog.pg_logical_emit_message(true,'${MESSAGE}','')`)} END`

/** Flushed at once, whatever becomes of the transaction. PostgreSQL 17. */
const FLUSHED_TOKEN = placeOf(`pg_catalog.pg_logical_emit_message(false,'${MESSAGE}','',true)`)

function placeOf(record: string): string {
  return `pg_catalog.pg_wal_lsn_diff(${record},'0/0')::text`
}

const EXCLUSIVE = " AND mode='ExclusiveLock'"
const SHARED = " AND mode='ShareLock'"

/**
 * Many sessions check marks often, and pg_locks is not made for that: a session that can share a mark for a moment knows that it is
 * free. Sessions that check at the same time do not disturb each other.
 */
function markIsFree(key: string): string {
  return `CASE WHEN pg_catalog.pg_try_advisory_lock_shared(${key}) THEN pg_catalog.pg_advisory_unlock_shared(${key}) ELSE false END`
}

function truth(sql: string, isRaw: boolean): string {
  return isRaw ? `(${sql})` : `CASE WHEN ${sql} THEN '1' ELSE '0' END`
}

interface Lock {
  /** As arguments of the advisory lock functions. */
  readonly key: string
  /** As a condition on pg_locks. */
  readonly where: string
  readonly scope: '' | '_xact'
  readonly suffix: '' | '_shared'
  readonly isShared: boolean
  readonly isMark: boolean
}

function lockOf(given: string): Lock {
  const scope = given.startsWith('x') ? '_xact' : ''
  const literal = scope === '' ? given : given.slice(1)
  const isMark = literal.startsWith('m')
  const isShared = literal.startsWith('s')
  const key = BigInt(isMark || isShared ? literal.slice(1) : literal)
  const high = BigInt.asUintN(32, key >> 32n)
  const low = BigInt.asUintN(32, key)
  return {
    key: isMark ? `${BigInt.asIntN(32, high)},${BigInt.asIntN(32, low)}` : `${key}`,
    where: `classid=${high} AND objid=${low} AND objsubid=${isMark ? 2 : 1}`,
    scope,
    suffix: isShared ? '_shared' : '',
    isShared,
    isMark,
  }
}
