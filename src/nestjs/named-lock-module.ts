import { Module, type DynamicModule } from '@nestjs/common'
import type { NamedLockServiceOptions } from '../contract/options.js'
import type { NamedLockModuleAsyncOptions } from './module-options.js'
import { NamedLockCoreModule } from './named-lock-core-module.js'

/**
 * Makes the NamedLockService of a TypeOrmModule's DataSource injectable in the whole application, and closes it when
 * the application shuts down: waiting callers reject, running work gets `closeTimeout`, and all locks are released
 * before TypeOrmModule destroys the DataSource.
 *
 * Import it once for each DataSource, in the root module.
 *
 * ```ts
 * imports: [TypeOrmModule.forRoot({ … }), NamedLockModule.forRoot({ timeout: '5s' })]
 * ```
 */
@Module({})
export class NamedLockModule {
  /**
   * The module, with options that are known when it is imported.
   *
   * @param options The options of the NamedLockService.
   * @param dataSource The DataSource's name, as given to TypeOrmModule. Default: the DataSource without a name.
   */
  static forRoot(options: NamedLockServiceOptions = {}, dataSource?: string): DynamicModule {
    return { module: NamedLockModule, imports: [NamedLockCoreModule.forRoot(options, dataSource)] }
  }

  /** Like `forRoot`, with options resolved asynchronously: from configuration, a secret store. */
  static forRootAsync(options: NamedLockModuleAsyncOptions): DynamicModule {
    return { module: NamedLockModule, imports: [NamedLockCoreModule.forRootAsync(options)] }
  }
}
