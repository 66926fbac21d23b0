import { processWide } from '../util/process-wide.js'
import type { DataSourceLike } from './data-source-like.js'
import type { WorkRunner } from './query-runner.js'

type CreateQueryRunner = DataSourceLike['createQueryRunner']

/** By DataSource: its `createQueryRunner` before the library replaced it. Written by replaceCreateQueryRunner. */
const originals = processWide('createQueryRunner', () => new WeakMap<object, CreateQueryRunner>())

/**
 * A QueryRunner on a connection of its own, wherever the running code is: the library's sessions and the work's own runner take no
 * part in the transaction around them.
 */
export function plainRunner(dataSource: DataSourceLike): WorkRunner {
  const original = originals.get(dataSource)
  return (original ? original.call(dataSource, 'master') : dataSource.createQueryRunner('master')) as WorkRunner
}

/**
 * Replaces a DataSource's `createQueryRunner`, through which TypeORM gets the connection for everything that is not bound to a
 * QueryRunner already. The result undoes it, unless other code has replaced the method since.
 */
export function replaceCreateQueryRunner(
  dataSource: DataSourceLike,
  make: (original: CreateQueryRunner) => CreateQueryRunner,
): () => void {
  const own = Object.getOwnPropertyDescriptor(dataSource, 'createQueryRunner')
  // eslint-disable-next-line @typescript-eslint/unbound-method -- called with its DataSource
  const original = dataSource.createQueryRunner
  const replacement = make(original)
  // With locks in memory, several services of one DataSource replace it, each for its own locks.
  if (!originals.has(dataSource)) originals.set(dataSource, original)
  Object.defineProperty(dataSource, 'createQueryRunner', { value: replacement, configurable: true, writable: true })
  return () => {
    if (dataSource.createQueryRunner !== replacement) return
    originals.delete(dataSource)
    if (own) Object.defineProperty(dataSource, 'createQueryRunner', own)
    else delete (dataSource as Partial<DataSourceLike>).createQueryRunner
  }
}
