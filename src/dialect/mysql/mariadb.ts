import { exactKeyFor, MARIADB_EXACT_NAMES } from '../../names/exact-names.js'
import type { RollbackReason, WaitFailure } from '../dialect.js'
import type { Ask } from '../../typeorm/raw-connection.js'
import type { LockTable } from '../lock-table.js'
import {
  hasMetadataLocks,
  readLockInfoPlugin,
  readMetadataLocks,
  readWaitingStatements,
  RUNNING_MARIADB,
} from './metadata-locks.js'
import { MySqlFamily } from './mysql-family.js'

const ER_CHECKREAD = 1020
const ER_QUERY_INTERRUPTED = 1317
const ER_LOCK_DEADLOCK = 1213
const ER_STATEMENT_TIMEOUT = 1969

/** MariaDB 10.0.2 and later (before that a session can hold one lock only). */
export class MariaDbDialect extends MySqlFamily {
  readonly server = 'MariaDB'

  override exactKey(name: string | bigint): string {
    return exactKeyFor(name, MARIADB_EXACT_NAMES)
  }

  /** MariaDB compares names byte for byte, in spite of its manual. */
  override exclusionKey(key: string): string {
    return key
  }

  /** Fractions of a second are honoured here. */
  override wait(literal: string, mark: string, milliseconds: number): string {
    return `SELECT IF(IS_FREE_LOCK(${mark}),GET_LOCK(${literal},${(milliseconds / 1000).toFixed(3)}),-1) AS r`
  }

  override waitFailure(error: unknown): WaitFailure {
    switch ((error as { errno?: number }).errno) {
      case ER_QUERY_INTERRUPTED:
        return 'cancelled'
      case ER_STATEMENT_TIMEOUT:
        return 'slice'
      case ER_LOCK_DEADLOCK:
        return 'deadlock'
      default:
        return 'other'
    }
  }

  /** With innodb_snapshot_isolation a row that has changed since the snapshot ends the transaction. Other engines end only the statement with that error. */
  override rollbackReason(error: unknown, hasEnded: boolean): RollbackReason | undefined {
    const isOldSnapshot = hasEnded && (error as { errno?: unknown }).errno === ER_CHECKREAD
    return isOldSnapshot ? 'serialization' : super.rollbackReason(error, hasEnded)
  }

  /** performance_schema where its instrument is on (it is off by default), else the plugin, else the statements that wait. */
  override async readLocks(ask: Ask): Promise<LockTable> {
    if (await hasMetadataLocks(ask)) return readMetadataLocks(ask, RUNNING_MARIADB)
    const waiting = await readWaitingStatements(ask)
    const held = await readLockInfoPlugin(ask)
    if (held) return { rows: [...held, ...waiting] }
    return {
      rows: waiting,
      missing:
        "this MariaDB does not show other applications' locks: start it with performance_schema=ON and " +
        "performance_schema_instrument=wait/lock/metadata/sql/mdl=ON, or INSTALL SONAME 'metadata_lock_info'",
    }
  }

  protected override readonly variables = {
    timeLimit: 'max_statement_time',
    // There is no server_uuid here: servers differ in host name, port or data directory.
    identity: "CONCAT_WS(' ',@@hostname,@@port,@@datadir)",
    idleLimits,
  }
}

/** MariaDB 10.3 and later; the answer to SHOW leaves out the variables that a server does not have. */
async function idleLimits(ask: Ask): Promise<readonly (readonly [string, number])[]> {
  const rows = (await ask("SHOW SESSION VARIABLES LIKE 'idle%transaction_timeout'")) as [string, string][]
  return rows.map(([name, value]) => [name, Number(value)] as const).filter(([, value]) => value > 0)
}
