import { NamedLockError, NamedLockTimeoutError, type LockHolder } from 'typeorm-named-lock'
import { is } from './same-type.js'

export function errors(error: unknown) {
  if (error instanceof NamedLockTimeoutError) {
    is<'TIMEOUT'>()(error.code, true)
    is<LockHolder | undefined>()(error.holder, true)
  }
  if (!(error instanceof NamedLockError)) return 0
  switch (error.code) {
    case 'LOST':
      return 1
    // @ts-expect-error there is no such code
    case 'STOLEN':
      return 2
    default:
      return 3
  }
}
