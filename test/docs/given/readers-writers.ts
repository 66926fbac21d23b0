import { NamedLockService, WithNamedLock } from 'typeorm-named-lock'
declare const locks: NamedLockService
declare function computeOffer(): Promise<number>
declare function importPrices(): Promise<void>
