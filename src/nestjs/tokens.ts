import { Inject, type InjectionToken } from '@nestjs/common'
import { NamedLockService } from '../service/named-lock-service.js'

/**
 * The injection token of a DataSource's service: the class itself for the default DataSource, so that
 * `constructor(private readonly locks: NamedLockService)` works without a decorator; a string for a named one.
 *
 * @param dataSource The DataSource's name, as given to TypeOrmModule. Default: the DataSource without a name.
 */
export function getNamedLockServiceToken(dataSource?: string): InjectionToken<NamedLockService> {
  return dataSource === undefined || dataSource === 'default' ? NamedLockService : `${dataSource}NamedLockService`
}

/**
 * Injects a DataSource's service, in a constructor or into a property.
 *
 * @param dataSource As in `getNamedLockServiceToken`.
 *
 * @example
 * ```ts
 * class Reports {
 *   constructor(@InjectNamedLocks('reports') private readonly locks: NamedLockService) {}
 * }
 * ```
 */
export function InjectNamedLocks(dataSource?: string): PropertyDecorator & ParameterDecorator {
  return Inject(getNamedLockServiceToken(dataSource))
}
