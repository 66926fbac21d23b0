import { NamedLockService } from 'typeorm-named-lock'
declare const locks: NamedLockService
