import { exactKeyFor, foldForExclusion, MYSQL_EXACT_NAMES } from '../../names/exact-names.js'
import { MySqlFamily } from './mysql-family.js'
import type { PreparedRequests, WaitFailure } from '../dialect.js'
import type { Ask } from '../../typeorm/raw-connection.js'
import { GIVE_AND_TAKE, KEY_PARAMETER, keyParameter } from './sql-literal.js'
import type { LockTable } from '../lock-table.js'
import { refuseMultiPrimary } from './clusters.js'
import { hasMetadataLocks, readMetadataLocks, RUNNING_MYSQL } from './metadata-locks.js'

const ER_QUERY_INTERRUPTED = 1317
const ER_QUERY_TIMEOUT = 3024
const ER_USER_LOCK_DEADLOCK = 3058

/** MySQL 5.7.5 and later (before that a session can hold one lock only). */
export class MySqlDialect extends MySqlFamily {
  readonly server = 'MySQL'
  /** As a floating-point number, which drivers read at once. The 64 bits that GET_LOCK answers with here are made a text first. */
  override readonly prepared: PreparedRequests = {
    take: `SELECT GET_LOCK(${KEY_PARAMETER},0)+0e0 AS r`,
    give: `SELECT RELEASE_LOCK(${KEY_PARAMETER})+0e0 AS r`,
    giveAndTake: GIVE_AND_TAKE,
    parameter: keyParameter,
  }

  override exactKey(name: string | bigint): string {
    return exactKeyFor(name, MYSQL_EXACT_NAMES)
  }

  /** MySQL stores names in lower case and folds É = é, İ = i, K (Kelvin) = k. */
  override exclusionKey(key: string): string {
    return foldForExclusion(key)
  }

  /** GET_LOCK rounds to whole seconds here (0.4 waits not at all); the execution time limit is exact to the millisecond. */
  override wait(literal: string, mark: string, milliseconds: number): string {
    const seconds = Math.floor(milliseconds / 1000)
    return seconds >= 1
      ? `SELECT IF(IS_FREE_LOCK(${mark}),GET_LOCK(${literal},${seconds}),-1) AS r`
      : `SELECT /*+ MAX_EXECUTION_TIME(${Math.max(1, Math.round(milliseconds))}) */ IF(IS_FREE_LOCK(${mark}),GET_LOCK(${literal},1),-1) AS r`
  }

  override waitFailure(error: unknown): WaitFailure {
    switch ((error as { errno?: number }).errno) {
      case ER_QUERY_INTERRUPTED:
        return 'cancelled'
      case ER_QUERY_TIMEOUT:
        return 'slice'
      case ER_USER_LOCK_DEADLOCK:
        return 'deadlock'
      default:
        return 'other'
    }
  }

  refuseServer(ask: Ask): Promise<void> {
    return refuseMultiPrimary(ask)
  }

  override async readLocks(ask: Ask): Promise<LockTable> {
    if (await hasMetadataLocks(ask)) return readMetadataLocks(ask, RUNNING_MYSQL)
    return {
      rows: [],
      missing:
        "performance_schema or its instrument wait/lock/metadata/sql/mdl is off on this server, so it does not list other applications' locks",
    }
  }

  protected override readonly variables = { timeLimit: 'max_execution_time', identity: '@@server_uuid' }
}
