import { DataSource, EntityManager } from 'typeorm'
import { NamedLockService } from 'typeorm-named-lock'
declare const dataSource: DataSource
declare function settle(manager: EntityManager): Promise<void>
