import type { ServerAddress } from '../../dev/servers/index.js'
import type { NamedLockServiceOptions } from '../../src/index.js'
import { builtLibrary, type Library } from '../support/built-library.js'
import { openDataSource } from '../support/data-source.js'
import type { HandleSubject, Subject } from './subject.js'

/** This library, on a pool of TypeORM's usual size. */
export async function openLibrary(
  address: ServerAddress,
  options: NamedLockServiceOptions = {},
  library: Library = builtLibrary(),
): Promise<HandleSubject & { transaction(name: string): Promise<unknown> }> {
  const { NamedLockService } = library
  const dataSource = await openDataSource(address)
  const locks = new NamedLockService(dataSource, { timeout: '60s', ...options })
  return {
    withLock: (name, work) => locks.withLock(name, work),
    transaction: (name) => locks.transaction(name, () => undefined),
    async acquire(name) {
      const lock = await locks.acquire(name)
      return () => lock.release()
    },
    async [Symbol.asyncDispose]() {
      await locks.close()
      await dataSource.destroy()
    },
  }
}

/** The same by a decorated method, with the name as its argument. */
export async function openDecorated(address: ServerAddress, options: NamedLockServiceOptions = {}): Promise<Subject> {
  const { NamedLockService, WithNamedLock } = builtLibrary()
  const dataSource = await openDataSource(address)
  const locks = new NamedLockService(dataSource, options)
  class Worker {
    readonly locks = locks

    @WithNamedLock((name: string) => name, '60s')
    async run(_name: string, work: () => any): Promise<any> {
      return work()
    }
  }
  const worker = new Worker()
  return {
    withLock: (name, work) => worker.run(name, work),
    async [Symbol.asyncDispose]() {
      await locks.close()
      await dataSource.destroy()
    },
  }
}

/** The only session holds the locks, so none is left for waiting: every wait polls. */
export const onlyPolling: NamedLockServiceOptions = { maxSessions: 1 }
