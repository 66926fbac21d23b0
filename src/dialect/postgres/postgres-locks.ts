import type { Ask } from '../../typeorm/raw-connection.js'
import type { LockRow, LockTable } from '../lock-table.js'

/** The one-number advisory locks of this database, with their holders and waiters. */
const ROWS = `SELECT ((l.classid::bigint<<32)|l.objid::bigint)::text,l.granted::int,l.pid::text,a.usename::text,pg_catalog.host(a.client_addr),a.datname::text,
(extract(epoch FROM pg_catalog.clock_timestamp()-coalesce((pg_catalog.to_jsonb(l)->>'waitstart')::timestamptz,a.query_start))*1000)::text,(l.mode='ShareLock')::int
FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid=l.pid
WHERE l.locktype='advisory' AND l.objsubid=1 AND l.database=(SELECT oid FROM pg_catalog.pg_database WHERE datname=pg_catalog.current_database())
ORDER BY l.granted DESC,coalesce((pg_catalog.to_jsonb(l)->>'waitstart')::timestamptz,a.query_start)`

export async function readPgLocks(ask: Ask): Promise<LockTable> {
  const rows = (await ask(ROWS)) as (string | number | null)[][]
  return {
    rows: rows.map(([key, granted, id, user, host, database, forMs, shared]): LockRow => {
      const isGranted = Number(granted) === 1
      return {
        key: String(key),
        isGranted,
        ...(Number(shared) === 1 && { isShared: true }),
        connectionId: String(id),
        user: user?.toString(),
        host: host?.toString(),
        database: database?.toString(),
        // The server does not record since when a lock is held.
        forMs: isGranted || forMs === null ? undefined : Number(forMs),
      }
    }),
  }
}
