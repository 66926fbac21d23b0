import type { DataSource } from 'typeorm'
import type { LockName } from '../options.js'

/** The name as the service takes it: on PostgreSQL, an exact one is the number of an advisory lock. */
export function lockName(dataSource: DataSource, name: string, exactName: boolean | undefined): LockName {
  const isNumber = exactName && dataSource.options.type === 'postgres' && /^-?\d+$/.test(name)
  return isNumber ? BigInt(name) : name
}
