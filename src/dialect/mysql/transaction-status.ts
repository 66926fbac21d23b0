import type { TransactionStatus } from '../dialect.js'

/** https://dev.mysql.com/doc/dev/mysql-server/latest/mysql__com_8h.html#a1d854e841086925be1883e4d7b4e8cad */
const SERVER_STATUS_IN_TRANS = 1
const SERVER_STATUS_AUTOCOMMIT = 2

/** The names of an OK packet in mysql2 and mysql. */
const OK_PACKETS: ReadonlySet<unknown> = new Set(['ResultSetHeader', 'OkPacket'])

/** Whether a transaction runs, by the OK packet in an answer. The answer to a SELECT ends without one, as far as the drivers show it. */
export function statusIn(result: unknown): TransactionStatus | undefined {
  const status = okPacketIn(result)?.serverStatus
  if (typeof status !== 'number') return undefined
  return status & SERVER_STATUS_IN_TRANS ? 'open' : status & SERVER_STATUS_AUTOCOMMIT ? 'none' : 'implicit'
}

/** The last OK packet in an answer. Of a procedure, or several statements, there is a list, in which those with rows are lists themselves. */
function okPacketIn(result: unknown): { readonly serverStatus?: unknown } | undefined {
  let last: unknown = result
  if (Array.isArray(result)) {
    let i = result.length - 1
    while (i >= 0 && Array.isArray(result[i])) i--
    last = result[i]
  }
  const isOk = OK_PACKETS.has((last as object | undefined | null)?.constructor.name)
  return isOk ? (last as { serverStatus?: unknown }) : undefined
}
