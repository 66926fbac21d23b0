import { NamedLockService, NamedLockTimeoutError } from 'typeorm-named-lock'
declare const locks: NamedLockService
declare function takeFromStock(): Promise<void>
