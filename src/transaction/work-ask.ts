import type { HeldLock } from '../acquire/held-lock.js'
import type { Ask } from '../typeorm/raw-connection.js'
import { DedicatedSource } from '../work/dedicated-source.js'
import { BegunTransactionSource } from './begun-transaction-source.js'

/**
 * Sends statements of the library inside the transaction of a lock, as part of its work: they are rolled back with it, and their errors
 * count as the work's.
 */
export function askIn(lock: HeldLock): Ask {
  const claim = lock.claims[0]
  const { source, session } = claim ?? {}
  if (!session || !(source instanceof DedicatedSource || source instanceof BegunTransactionSource)) {
    return () => Promise.reject(lock.lostError ?? new Error('the transaction has ended'))
  }
  const wire = session.dialect.wire(source.bound.work.connection)
  return (sql) =>
    new Promise((resolve, reject) => {
      wire.query({ sql, rowsAsArray: true }, (error, rows) => (error ? reject(error) : resolve(rows)))
    })
}
