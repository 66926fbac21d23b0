import type { NamedLockService } from 'typeorm-named-lock'

declare const locks: NamedLockService
declare function tick(signal: AbortSignal): Promise<void>
