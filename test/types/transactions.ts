import type { DataSource, EntityManager } from 'typeorm'
import { NamedLockService } from 'typeorm-named-lock'
import { is } from './same-type.js'

declare const dataSource: DataSource

export async function transactions() {
  const locks = new NamedLockService(dataSource)
  is<number>()(
    await locks.transaction('stock:7', async (manager, lock) => {
      is<EntityManager>()(manager, true)
      is<EntityManager>()(lock.manager, true)
      return 1
    }),
    true,
  )
  is<number>()(
    await locks.transaction('stock:7', { timeout: '5s', isolation: 'READ COMMITTED' }, (manager) => manager.count('x')),
    true,
  )
  // @ts-expect-error a transaction always has its own connection
  locks.transaction('a', { session: 'shared' }, async () => {})
  // @ts-expect-error an isolation level is for transactions
  locks.withLock('a', { isolation: 'SERIALIZABLE' }, async () => {})
}
