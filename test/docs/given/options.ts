import { DataSource } from 'typeorm'
import { NamedLockService } from 'typeorm-named-lock'
declare const dataSource: DataSource
