import { DataSource, type EntityManager } from 'typeorm'
import { NamedLockService } from 'typeorm-named-lock'
declare const dataSource: DataSource
declare const locks: NamedLockService
declare function settle(manager: EntityManager): Promise<void>
