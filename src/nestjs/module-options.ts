import type { InjectionToken, ModuleMetadata, OptionalFactoryDependency, Provider, Type } from '@nestjs/common'
import { NamedLockConfigurationError } from '../contract/errors.js'
import type { NamedLockServiceOptions } from '../contract/options.js'

type Options = NamedLockServiceOptions | Promise<NamedLockServiceOptions>

/** A class that provides the options of a service, for `useClass` and `useExisting`. */
export interface NamedLockOptionsFactory {
  /**
   * Makes the options of the service.
   *
   * @param dataSource The name passed to `forRootAsync`.
   */
  createNamedLockOptions(dataSource?: string): Options
}

interface ForDataSource extends Pick<ModuleMetadata, 'imports'> {
  /** The DataSource's name, as given to TypeOrmModule. Default: the DataSource without a name. */
  dataSource?: string | undefined
}

interface ByFactory {
  /** Returns the options. Its arguments are the providers listed in `inject`. */
  useFactory: (...args: any[]) => Options
  inject?: (InjectionToken | OptionalFactoryDependency)[] | undefined
  useClass?: never
  useExisting?: never
}

interface ByClass {
  /** The module instantiates it and calls it for the options. */
  useClass: Type<NamedLockOptionsFactory>
  useFactory?: never
  useExisting?: never
  inject?: never
}

interface ByExisting {
  /** A provider of the `imports`, or a global one, which the module calls for the options. */
  useExisting: InjectionToken<NamedLockOptionsFactory>
  useFactory?: never
  useClass?: never
  inject?: never
}

/** The source of a service's options: exactly one of `useFactory`, `useClass` and `useExisting`. */
export type NamedLockModuleAsyncOptions = ForDataSource & (ByFactory | ByClass | ByExisting)

/** The providers of the options, under `token`. */
export function optionsProviders(token: InjectionToken, options: NamedLockModuleAsyncOptions): Provider[] {
  const { useFactory, inject = [], useClass, useExisting, dataSource } = options
  if (useFactory) return [{ provide: token, useFactory, inject }]
  const factory = useClass ?? useExisting
  if (!factory) {
    throw new NamedLockConfigurationError(
      'NamedLockModule.forRootAsync needs exactly one of useFactory, useClass and useExisting.',
    )
  }
  return [
    {
      provide: token,
      useFactory: (its: NamedLockOptionsFactory) => its.createNamedLockOptions(dataSource),
      inject: [factory],
    },
    ...(useClass ? [useClass] : []),
  ]
}
