import { isDeepStrictEqual } from 'node:util'
import type { DataSource } from 'typeorm'
import { NamedLockConfigurationError } from '../contract/errors.js'
import { NamedLockService } from '../service/named-lock-service.js'
import type { NamedLockServiceOptions } from '../contract/options.js'
import { appointService } from '../service/service-registry.js'

/**
 * The services of each application (known by an object that every application has one of). From Nest 11 on a module that is
 * imported twice is two modules: they share a service, so that the application does not pay for two.
 */
const services = new WeakMap<object, WeakMap<DataSource, NamedLockService>>()

/**
 * The service of a DataSource in an application. It also becomes what `NamedLockService.for(dataSource)` gives, so that
 * repositories and others that only know their DataSource have the options that the application was given.
 *
 * @throws NamedLockConfigurationError for wrong options, and for others than the service was made with.
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
  const service = new NamedLockService(dataSource, options)
  ofApplication.set(dataSource, service)
  appointService(dataSource, service)
  return service
}
