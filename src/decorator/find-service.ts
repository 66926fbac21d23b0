import type { DataSourceLike } from '../typeorm/data-source-like.js'
import { NamedLockConfigurationError } from '../contract/errors.js'
import { because } from '../contract/troubleshooting.js'
import { NamedLockService } from '../service/named-lock-service.js'
import { show } from '../util/show.js'
import type { DecoratorSettings } from './decorator-settings.js'

/**
 * Finds the service for a call of a decorated method. The search runs at every call: it takes a fifth of a microsecond,
 * and a property may be replaced at any time.
 *
 * @param label Returns class and method for the error.
 */
export function findService(
  self: unknown,
  locks: DecoratorSettings['locks'],
  label: () => string,
): NamedLockService<any> {
  if (locks !== undefined) return given(typeof locks === 'function' ? locks(self) : locks, label)
  const found = ownService(self) ?? serviceOfDataSource(self) ?? NamedLockService.getDefault()
  if (found) return found
  throw new NamedLockConfigurationError(
    because(
      'no-service',
      `${label()}: @WithNamedLock found no NamedLockService. Provide one of: ` +
        `the option locks: (self) => … (required for a #private field); ` +
        `a property of the instance that is a NamedLockService; ` +
        `a DataSource as this.dataSource, or an EntityManager as this.manager; ` +
        `NamedLockService.setDefault(service).`,
    ),
  )
}

function given(service: unknown, label: () => string): NamedLockService<any> {
  if (service instanceof NamedLockService) return service
  throw new NamedLockConfigurationError(
    because(
      'no-service',
      `${label()}: the locks option of @WithNamedLock returned ${show(service)} instead of a NamedLockService.`,
    ),
  )
}

/** The first own property that is a service. Getters are skipped: a lock must not have their side effects. */
function ownService(self: unknown): NamedLockService<any> | undefined {
  if (!isObject(self)) return undefined
  for (const key of Reflect.ownKeys(self)) {
    const value: unknown = Reflect.getOwnPropertyDescriptor(self, key)?.value
    if (value instanceof NamedLockService) return value
  }
  return undefined
}

function serviceOfDataSource(self: unknown): NamedLockService<any> | undefined {
  if (!isObject(self)) return undefined
  const { dataSource, manager } = self as { dataSource?: unknown; manager?: unknown }
  if (isDataSource(dataSource)) return NamedLockService.for(dataSource)
  if (!isObject(manager)) return undefined
  // TypeORM 1.x, and 0.3.
  const its = manager as { dataSource?: unknown; connection?: unknown }
  const managed = its.dataSource ?? its.connection
  return isDataSource(managed) ? NamedLockService.for(managed) : undefined
}

function isDataSource(value: unknown): value is DataSourceLike {
  return isObject(value) && typeof (value as Partial<DataSourceLike>).createQueryRunner === 'function'
}

function isObject(value: unknown): value is object {
  return (typeof value === 'object' && value !== null) || typeof value === 'function'
}
