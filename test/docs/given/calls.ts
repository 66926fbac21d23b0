import { NamedLockService } from 'typeorm-named-lock'
declare const locks: NamedLockService
declare function writeReport(): Promise<string>
declare function importOrders(options: { signal: AbortSignal }): Promise<void>
