import type { ServerAddress } from '../../dev/servers/index.js'
import { MySqlObserver } from './mysql-observer.js'
import type { Observer } from './observer.js'
import { PostgresObserver } from './postgres-observer.js'

export function openObserver(address: ServerAddress): Promise<Observer> {
  return address.kind === 'postgres' ? PostgresObserver.open(address) : MySqlObserver.open(address)
}
