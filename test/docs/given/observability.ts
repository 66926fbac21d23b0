import { NamedLockService } from 'typeorm-named-lock'
declare const locks: NamedLockService
declare const log: { warn(text: string): void }
