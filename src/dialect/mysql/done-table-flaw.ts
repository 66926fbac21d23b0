import { singleRow, type Ask } from '../../typeorm/raw-connection.js'

/**
 * What makes a table useless for `runOnce`, although every statement to it succeeds; undefined: nothing. Without transactions work that failed
 * counts as done, without a unique key work may be done twice, and in short columns two names become one.
 */
export async function flawOfDoneTable(ask: Ask, table: string): Promise<string | undefined> {
  const [name = '', schema] = table.split('.').reverse()
  const where = `TABLE_SCHEMA=${schema === undefined ? 'DATABASE()' : literal(schema)} AND TABLE_NAME=${literal(name)}`
  const from = (view: string): string => `FROM information_schema.${view} WHERE ${where}`
  const engine = `(SELECT ENGINE ${from('TABLES')} LIMIT 1)`
  const columns =
    "COLUMN_NAME='lock_key' AND DATA_TYPE IN ('char','varchar') AND CHARACTER_MAXIMUM_LENGTH>=64 OR " +
    "COLUMN_NAME='name' AND CHARACTER_MAXIMUM_LENGTH>=1024 OR " +
    "COLUMN_NAME='done_at' AND DATA_TYPE='datetime' AND DATETIME_PRECISION=6"
  const [called, isSafe, fitting, keys, autocommit] = singleRow(
    await ask(
      `SELECT ${engine} AS e,(SELECT TRANSACTIONS FROM information_schema.ENGINES WHERE ENGINE=${engine}) AS t,` +
        `(SELECT CONCAT(COUNT(*)) ${from('COLUMNS')} AND (${columns})) AS c,` +
        `(SELECT CONCAT(COUNT(*)) FROM (SELECT INDEX_NAME ${from('STATISTICS')} AND NON_UNIQUE=0 GROUP BY INDEX_NAME ` +
        "HAVING COUNT(*)=1 AND MAX(COLUMN_NAME)='lock_key' AND MAX(SUB_PART) IS NULL) AS u) AS k,@@SESSION.autocommit AS a",
    ),
  )
  if (autocommit === '0') await ask('COMMIT')
  // A view, or a table that this user may not look up.
  if (called === undefined) return undefined
  if (isSafe !== 'YES') {
    return `has the engine ${called}, which has no transactions: work that was rolled back would count as done`
  }
  if (fitting !== '3') return 'has other columns than those of runOnce'
  return keys === '0' ? 'has no unique key on lock_key' : undefined
}

function literal(text: string): string {
  return `_utf8mb4 x'${Buffer.from(text, 'utf8').toString('hex')}'`
}
