import { singleRow, type Ask } from '../../typeorm/raw-connection.js'

/**
 * What makes a table useless for `runOnce`, although statements to it may succeed; undefined: nothing. An unlogged or temporary table forgets
 * what was done, while the effects of the work stay.
 *
 * @param table A literal of the table's quoted name.
 */
export async function flawOfDoneTable(ask: Ask, table: string): Promise<string | undefined> {
  const columns =
    "a.attname='lock_key' AND (a.atttypid=25 OR a.atttypid=1043 AND (a.atttypmod=-1 OR a.atttypmod>=68)) OR " +
    "a.attname='name' AND (a.atttypid=25 OR a.atttypid=1043 AND a.atttypmod=-1) OR a.attname='done_at' AND a.atttypid=1184"
  const [persistence, fitting, keys] = singleRow(
    await ask(
      'SELECT c.relpersistence::text AS p,' +
        `(SELECT pg_catalog.count(*)::text FROM pg_catalog.pg_attribute a WHERE a.attrelid=c.oid AND a.attnum>0 AND (${columns})) AS c,` +
        '(SELECT pg_catalog.count(*)::text FROM pg_catalog.pg_index i JOIN pg_catalog.pg_attribute a ON a.attrelid=c.oid AND a.attnum=i.indkey[0] ' +
        "WHERE i.indrelid=c.oid AND i.indisunique AND i.indnkeyatts=1 AND i.indpred IS NULL AND a.attname='lock_key') AS k " +
        `FROM pg_catalog.pg_class c WHERE c.oid=pg_catalog.to_regclass(${table}) AND c.relkind IN ('r','p')`,
    ),
  )
  // A view.
  if (persistence === undefined) return undefined
  if (persistence !== 'p') {
    return `is ${persistence === 't' ? 'a temporary' : 'an unlogged'} table: it would forget what was done`
  }
  if (fitting !== '3') return 'has other columns than those of runOnce'
  return keys === '0' ? 'has no unique key on lock_key' : undefined
}
