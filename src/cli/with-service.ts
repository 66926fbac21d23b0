import type { DataSource } from 'typeorm'
import { NamedLockError } from '../contract/errors.js'
import { isConnectionLimit } from '../dialect/connection-limit.js'
import { NamedLockService } from '../service/named-lock-service.js'
import type { NamedLockServiceOptions } from '../contract/options.js'
import { findDataSource, type ConnectionFlags, type ExportedService } from './data-source-file.js'
import { ExitCode, UserError } from './exit-codes.js'
import { withOutputOnStderr } from './output.js'
import { monotonicNow, setTimeout } from '../util/clock.js'
import { refuseOtherScheme } from '../typeorm/database-of.js'
import { withoutWrongServer } from './wrong-server.js'

export interface ServiceFlags extends ConnectionFlags {
  /** False for `--no-namespace`. */
  readonly namespace?: string | boolean
}

/** Few connections: a fleet of commands shares the server with the application. */
const POOL_SIZE = 4
/** How often a refused connection is tried again, in milliseconds, give or take half of it. */
const CONNECT_EVERY = 500

/**
 * Connects, calls `work`, and closes everything.
 *
 * @param patience How long to wait for a connection that the account may have, in milliseconds: another process may have its only one.
 */
export async function withService<T>(
  flags: ServiceFlags,
  work: (locks: NamedLockService, dataSource: DataSource) => Promise<T>,
  purpose: 'locks' | 'check' | 'migrations' = 'locks',
  patience = 0,
): Promise<T> {
  const { dataSource, services } = await withOutputOnStderr(() => findDataSource(flags))
  const options = serviceOptions(flags, services)
  // Only their options are needed. They are closed, so that nothing of theirs runs beside the command's own service.
  await Promise.all(services.map((one) => one.close()))
  refuseOtherScheme(dataSource)
  if (!dataSource.isInitialized) {
    // As TypeORM's own command line does: a query about locks must not change a schema.
    dataSource.setOptions({
      synchronize: false,
      migrationsRun: false,
      dropSchema: false,
      // `false` would keep the DataSource's own logger.
      ...(purpose === 'migrations' ? migrationLogging(dataSource) : { logging: [], logger: 'simple-console' }),
      // `check` examines the application's own pool, so it must keep its size.
      ...{ subscribers: [], ...(purpose !== 'check' && { poolSize: POOL_SIZE }) },
    })
    await connect(dataSource, patience)
  }
  try {
    await using locks = new NamedLockService(dataSource, options)
    return await work(locks, dataSource)
  } finally {
    await dataSource.destroy().catch(() => {})
  }
}

async function connect(dataSource: DataSource, patience: number): Promise<void> {
  const deadline = monotonicNow() + patience
  for (;;) {
    try {
      await withOutputOnStderr(() => withoutWrongServer(dataSource, () => dataSource.initialize()))
      return
    } catch (error) {
      if (!isConnectionLimit(error) || monotonicNow() >= deadline) throw notConnected(error)
    }
    await new Promise((resolve) => setTimeout(resolve, CONNECT_EVERY * (0.5 + Math.random())))
  }
}

function notConnected(error: unknown): Error {
  if (error instanceof UserError || error instanceof NamedLockError) return error
  return new UserError(`Could not connect to the database: ${reasonOf(error)}`, ExitCode.unavailable, { cause: error })
}

/**
 * The options of the command's service. A wrong namespace would be silent, because the same name in another namespace
 * is another lock. The options of the application's own service therefore win, and the environment counts only without
 * one.
 */
function serviceOptions(
  { namespace: flag }: ServiceFlags,
  services: readonly ExportedService[],
): NamedLockServiceOptions {
  const given = flag === true ? undefined : flag
  if (services.length === 0) {
    const namespace = given ?? (process.env.NAMED_LOCK_NAMESPACE || undefined)
    return { ...(namespace !== undefined && { namespace }) }
  }
  const all = services.map(({ options }) => options)
  const fitting = given === undefined ? all : all.filter(({ namespace }) => namespace === given)
  const [first = {}] = fitting.length > 0 ? fitting : all
  const spaces = new Set(fitting.map(({ namespace }) => namespace))
  if (given === undefined && spaces.size > 1) {
    const names = [...spaces].map((one) => (one === undefined ? 'the default' : one === false ? 'none' : `'${one}'`))
    throw new UserError(
      `--dataSource: the file exports several services with different namespaces (${names.join(', ')}). Pass --namespace <text> or --no-namespace.`,
    )
  }
  return { ...first, ...(given !== undefined && { namespace: given }) }
}

/** TypeORM's own messages appear only if the application enables them: the command prints the result itself. */
function migrationLogging({ options }: DataSource): object {
  const { logging } = options
  if (logging === undefined || logging === false) return { logging: [], logger: SILENT }
  return {}
}

const nothing = (): void => {}
const SILENT = {
  logQuery: nothing,
  logQueryError: nothing,
  logQuerySlow: nothing,
  logSchemaBuild: nothing,
  logMigration: nothing,
  log: nothing,
}

export function reasonOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === '') return error.errors.map(reasonOf).join('; ')
  return error instanceof Error ? error.message || error.name : String(error)
}

/** The exit code for an unhandled error. */
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
