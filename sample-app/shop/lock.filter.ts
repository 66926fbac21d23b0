import { Catch, ServiceUnavailableException, type ArgumentsHost } from '@nestjs/common'
import { BaseExceptionFilter } from '@nestjs/core'
import { NamedLockClosedError, NamedLockTimeoutError } from './named-lock.js'

/** A caller that gets no lock gets 503: the lock was busy for too long, or this replica shuts down. No fault of the shop. */
@Catch(NamedLockTimeoutError, NamedLockClosedError)
export class LockFilter extends BaseExceptionFilter {
  override catch(_error: Error, host: ArgumentsHost): void {
    super.catch(new ServiceUnavailableException('Busy. Try again soon.'), host)
  }
}
