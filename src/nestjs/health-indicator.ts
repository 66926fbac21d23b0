import type { Duration } from '../contract/duration.js'
import type { NamedLockService } from '../service/named-lock-service.js'

/** The result of a health check of @nestjs/terminus. */
export type NamedLockHealth<Key extends string> = Record<
  Key,
  | { readonly status: 'up'; readonly milliseconds: number }
  | { readonly status: 'down'; readonly message: string; readonly code: string | undefined }
>

/**
 * A health indicator for @nestjs/terminus: up while the service's locks answer within a time. NamedLockModule provides it for the default
 * DataSource; for another one, construct it with that DataSource's service.
 *
 * @example
 * const result = await health.check([() => lockHealth.pingCheck('locks', { timeout: '1s' })])
 */
export class NamedLockHealthIndicator {
  readonly #service: NamedLockService

  constructor(service: NamedLockService) {
    this.#service = service
  }

  /**
   * Checks whether locks can be acquired.
   *
   * @param key The name of the check in the result.
   * @param options `timeout`: how long the database may take. Default 1 s.
   * @returns Never rejects: a database that does not answer is `down`, with the reason.
   */
  async pingCheck<const Key extends string = 'locks'>(
    key: Key = 'locks' as Key,
    { timeout = '1s' }: { timeout?: Duration | undefined } = {},
  ): Promise<NamedLockHealth<Key>> {
    try {
      const milliseconds = Math.round(await this.#service.ping(timeout))
      return { [key]: { status: 'up', milliseconds } } as NamedLockHealth<Key>
    } catch (error) {
      const { message, code } = error as { message: string; code?: string }
      return { [key]: { status: 'down', message, code } } as NamedLockHealth<Key>
    }
  }

  /** The same, under the name that indicators of an application usually have. */
  isHealthy<const Key extends string = 'locks'>(
    key: Key = 'locks' as Key,
    options: { timeout?: Duration | undefined } = {},
  ): Promise<NamedLockHealth<Key>> {
    return this.pingCheck(key, options)
  }
}
