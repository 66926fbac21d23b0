import { DataSource } from 'typeorm'
import { NamedLockService, WithNamedLock } from 'typeorm-named-lock'
declare const dataSource: DataSource
declare const locks: NamedLockService
declare function work(): Promise<void>
declare function step(signal: AbortSignal): Promise<void>
