import {
  Global,
  Inject,
  Module,
  type BeforeApplicationShutdown,
  type OnApplicationBootstrap,
  type DynamicModule,
  type OnApplicationShutdown,
  type Provider,
} from '@nestjs/common'
import { ModulesContainer } from '@nestjs/core'
import { getDataSourceToken } from '@nestjs/typeorm'
import type { DataSource } from 'typeorm'
import { NamedLockService } from '../service/named-lock-service.js'
import type { NamedLockServiceOptions } from '../contract/options.js'
import { dismissService } from '../service/service-registry.js'
import { serviceOfApplication } from './application-services.js'
import { NamedLockHealthIndicator } from './health-indicator.js'
import { optionsProviders, type NamedLockModuleAsyncOptions } from './module-options.js'
import { getNamedLockServiceToken } from './tokens.js'
import { campaignAll } from './while-leader.js'

const OPTIONS = 'NAMED_LOCK_OPTIONS'
const SERVICE = 'NAMED_LOCK_SERVICE'
const DATA_SOURCE = 'NAMED_LOCK_DATA_SOURCE'

/** Owns the service of one DataSource, for the whole application, from startup to shutdown. */
@Global()
@Module({})
export class NamedLockCoreModule implements OnApplicationBootstrap, BeforeApplicationShutdown, OnApplicationShutdown {
  readonly #service: unknown
  readonly #application: ModulesContainer
  readonly #dataSource: string | undefined

  /** @param service The provider under the service's token, which a test may have overridden. */
  constructor(
    @Inject(SERVICE) service: unknown,
    @Inject(ModulesContainer) application: ModulesContainer,
    @Inject(DATA_SOURCE) dataSource: { readonly name: string | undefined },
  ) {
    this.#service = service
    this.#application = application
    this.#dataSource = dataSource.name
  }

  static forRoot(options: NamedLockServiceOptions, dataSource: string | undefined): DynamicModule {
    return { module: NamedLockCoreModule, ...provideService([{ provide: OPTIONS, useValue: options }], dataSource) }
  }

  static forRootAsync(options: NamedLockModuleAsyncOptions): DynamicModule {
    return {
      module: NamedLockCoreModule,
      imports: options.imports ?? [],
      ...provideService(optionsProviders(OPTIONS, options), options.dataSource),
    }
  }

  /** Methods with @WhileLeader campaign from here to the end of the service. */
  onApplicationBootstrap(): void {
    if (this.#service instanceof NamedLockService) campaignAll(this.#application, this.#service, this.#dataSource)
  }

  /** The last hook in which the DataSource is usable: TypeOrmModule destroys it in `onApplicationShutdown`. */
  async beforeApplicationShutdown(): Promise<void> {
    if (this.#service instanceof NamedLockService) await this.#service.close()
  }

  /** Until this hook, late callers get the closed service, which refuses them. */
  onApplicationShutdown(): void {
    if (this.#service instanceof NamedLockService) dismissService(this.#service.dataSource, this.#service)
  }
}

function provideService(
  options: Provider[],
  dataSource: string | undefined,
): Required<Pick<DynamicModule, 'providers' | 'exports'>> {
  const token = getNamedLockServiceToken(dataSource)
  const service: Provider = {
    provide: token,
    useFactory: (application: ModulesContainer, source: DataSource, its: NamedLockServiceOptions = {}) =>
      serviceOfApplication(application, source, its),
    inject: [ModulesContainer, getDataSourceToken(dataSource), OPTIONS],
  }
  const name: Provider = { provide: DATA_SOURCE, useValue: { name: dataSource } }
  const providers = [...options, service, { provide: SERVICE, useExisting: token }, name]
  if (token !== NamedLockService) return { providers, exports: [token] }
  const health: Provider = {
    provide: NamedLockHealthIndicator,
    useFactory: (its: NamedLockService) => new NamedLockHealthIndicator(its),
    inject: [token],
  }
  return { providers: [...providers, health], exports: [token, NamedLockHealthIndicator] }
}
