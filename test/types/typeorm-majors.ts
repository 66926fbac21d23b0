// Both majors of TypeORM in one program: each service gives the types of its own.
import { NamedLockService } from 'typeorm-named-lock'
import { DataSource } from 'typeorm'
import type { DataSource as OtherDataSource, EntityManager as OtherEntityManager } from 'typeorm03'
import { is } from './same-type.js'

declare const otherDataSource: OtherDataSource

export async function majors() {
  const old = new NamedLockService(otherDataSource)
  await old.transaction('a', async (manager, lock) => {
    is<OtherEntityManager>()(manager, true)
    is<OtherEntityManager>()(lock.manager, true)
  })
  is<OtherEntityManager>()((await old.acquire('a', { session: 'dedicated' })).manager, true)
  const typed: NamedLockService<OtherDataSource> = old
  // @ts-expect-error the two have different EntityManagers
  const other: NamedLockService = old
  const anyService: NamedLockService<any> = old
  await anyService.transaction('a', async (manager) => manager.query('SELECT 1'))
  class MyDataSource extends DataSource {
    extra = 1
  }
  const mine: NamedLockService = new NamedLockService(new MyDataSource({ type: 'mysql' }))
  void typed
  void other
  void mine
}
