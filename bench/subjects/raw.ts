import type { ServerAddress } from '../../dev/servers/index.js'
import { openRawMySql } from './raw-mysql.js'
import { openRawPostgres } from './raw-postgres.js'
import type { HandleSubject } from './subject.js'

/**
 * The driver on one persistent connection, without the library: the limit for one caller. It cannot serve several
 * callers, because the locks of a connection do not exclude each other.
 */
export function openRaw(address: ServerAddress, isPrepared = false): Promise<HandleSubject> {
  return address.kind === 'postgres' ? openRawPostgres(address, isPrepared) : openRawMySql(address, isPrepared)
}
