import type { DataSource } from 'typeorm'
import { NamedLockError } from '../errors.js'
import { NamedLockService } from '../named-lock-service.js'
import { findDataSource, type ConnectionFlags } from './data-source-file.js'
import { ExitCode, UserError } from './exit-codes.js'
import { withOutputOnStderr } from './output.js'

export interface ServiceFlags extends ConnectionFlags {
  /** False for `--no-namespace`. */
  readonly namespace?: string | boolean
}

/** Few connections: a fleet of commands shares the server with the application. */
const POOL_SIZE = 4

/** Connects, calls `work`, and gives everything back. */
export async function withService<T>(
  flags: ServiceFlags,
  work: (locks: NamedLockService, dataSource: DataSource) => Promise<T>,
  purpose: 'locks' | 'check' | 'migrations' = 'locks',
): Promise<T> {
  const dataSource = await withOutputOnStderr(() => findDataSource(flags))
  if (!dataSource.isInitialized) {
    // As TypeORM's own command line does: asking about locks must not change a schema.
    dataSource.setOptions({
      synchronize: false,
      migrationsRun: false,
      dropSchema: false,
      // `false` would leave the logger that it has.
      ...(purpose === 'migrations'
        ? { logging: ['query', 'error', 'schema'] }
        : { logging: [], logger: 'simple-console' }),
      // What is checked is the application's pool.
      ...{ subscribers: [], ...(purpose !== 'check' && { poolSize: POOL_SIZE }) },
    })
    await dataSource.initialize().catch((error: unknown) => {
      throw new UserError(`Could not connect to the database: ${reasonOf(error)}`, ExitCode.unavailable, {
        cause: error,
      })
    })
  }
  try {
    const { namespace } = flags
    await using locks = new NamedLockService(dataSource, {
      ...(namespace !== undefined && namespace !== true && { namespace }),
    })
    return await work(locks, dataSource)
  } finally {
    await dataSource.destroy().catch(() => {})
  }
}

export function reasonOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === '') return error.errors.map(reasonOf).join('; ')
  return error instanceof Error ? error.message || error.name : String(error)
}

/** What the command ends with, for an error that nobody dealt with. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof UserError) return error.exitCode
  if (!(error instanceof NamedLockError)) return ExitCode.failed
  switch (error.code) {
    case 'TIMEOUT':
      return ExitCode.busy
    case 'LOST':
      return ExitCode.lost
    case 'INVALID_NAME':
      return ExitCode.usage
    case 'CONFIGURATION':
    case 'UNSUPPORTED_DRIVER':
      return ExitCode.configuration
    case 'DATABASE':
      return ExitCode.unavailable
    default:
      return ExitCode.failed
  }
}
