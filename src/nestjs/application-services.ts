import { isDeepStrictEqual } from 'node:util'
import type { DataSource } from 'typeorm'
import { NamedLockConfigurationError } from '../contract/errors.js'
import { serviceWithDefaults, type NamedLockService } from '../service/named-lock-service.js'
import type { NamedLockServiceOptions } from '../contract/options.js'
import { appointService } from '../service/service-registry.js'

/**
 * The services of each application, by an object of which every application has one. Since Nest 11, a module that is
 * imported twice is two modules: they share one service.
 */
const services = new WeakMap<object, WeakMap<DataSource, NamedLockService>>()

/**
 * Returns the service of a DataSource in an application, and creates it at the first call.
 * `NamedLockService.for(dataSource)` then returns it too, so that repositories, which only know their DataSource, use
 * the options of the application.
 *
 * @throws NamedLockConfigurationError for wrong options, and if the options differ from those of the existing service.
 */
export function serviceOfApplication(
  application: object,
  dataSource: DataSource,
  options: NamedLockServiceOptions,
): NamedLockService {
  let ofApplication = services.get(application)
  if (!ofApplication) services.set(application, (ofApplication = new WeakMap()))
  const existing = ofApplication.get(dataSource)
  if (existing) {
    if (isDeepStrictEqual(existing.options, options)) return existing
    throw new NamedLockConfigurationError(
      'NamedLockModule was imported twice for one DataSource, with different options. Import it once, in the root module: it is global.',
    )
  }
  // Nest's providers have injected repositories, which know of no transaction: here they take part in the lock's.
  const service = serviceWithDefaults(dataSource, options, { ambientTransactions: true })
  ofApplication.set(dataSource, service)
  appointService(dataSource, service)
  return service
}
