/** MySQL and MariaDB: the server's limit, and the account's (`max_user_connections`; the last one counts queries and the like, too). */
const MYSQL = new Set<unknown>([1040, 1203, 1226])
/** PostgreSQL: the server's, the database's and the role's. */
const POSTGRES = '53300'

/**
 * Whether the server has refused a connection because there are too many: it lives, and a connection has to end first. Known by the drivers'
 * errors alone, because no session is open then that could say which server it is.
 */
export function isConnectionLimit(error: unknown): boolean {
  if (typeof error !== 'object' || error === null) return false
  const { errno, code, message, cause, driverError } = error as Record<string, unknown>
  if (code === POSTGRES) return true
  if (MYSQL.has(errno)) return errno !== 1226 || /max_user_connections/.test(String(message))
  return isConnectionLimit(driverError) || isConnectionLimit(cause)
}
