// Mistakes that the compiler finds.
import { NamedLock, NamedLockService } from 'typeorm-named-lock'
import type { DataSource } from 'typeorm'

declare const dataSource: DataSource
declare const env: string

export async function mistakes() {
  const locks = new NamedLockService(dataSource)
  // @ts-expect-error a number is no name
  locks.withLock(42, () => {})
  // @ts-expect-error unknown option
  locks.withLock('a', { timeuot: '5s', reentrant: true }, () => {})
  // @ts-expect-error unknown option beside a session
  locks.withLock('a', { session: 'dedicated', timeuot: '5s' }, () => {})
  // @ts-expect-error unknown unit
  locks.withLock('a', { timeout: '5 parsecs' }, () => {})
  // @ts-expect-error plain text
  locks.withLock('a', { timeout: env }, () => {})
  // @ts-expect-error work is missing
  locks.withLock('a', { timeout: 1 })
  // @ts-expect-error permits of a transaction of the application
  locks.lockTransaction(dataSource.manager, 'a', { permits: 2 })
  // @ts-expect-error a text is no number of permits
  locks.withLock('a', { permits: '2' }, () => {})
  // @ts-expect-error an async name
  locks.withLock(Promise.resolve('a'), () => {})
  // @ts-expect-error no manager on the shared session
  locks.withLock('a', (lock) => lock.manager.query(''))
  const tried = await locks.tryWithLock('nightly', async () => ({ id: 1 }))
  // @ts-expect-error not narrowed
  tried.value.id
  // @ts-expect-error handles are made by the library
  new NamedLock()
  // @ts-expect-error unknown event
  locks.on('aquired', () => {})
  // @ts-expect-error not a DataSource
  new NamedLockService({ manager: {} })
  // @ts-expect-error unknown option of the service
  new NamedLockService(dataSource, { leese: '30s', timeout: 1 })
  // @ts-expect-error unknown kind of connections
  new NamedLockService(dataSource, { connections: 'borrow' })
}
