import { DataSource, Repository, type DataSourceOptions, type Migration } from 'typeorm'
import { NamedLock, NamedLockService, WithNamedLock } from 'typeorm-named-lock'
declare const locks: NamedLockService
class Stock {
  id!: number
  left!: number
}
declare function takeFromStock(): Promise<void>
