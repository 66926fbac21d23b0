import type { Dialect } from '../dialect/dialect.js'
import type { DataSourceLike } from '../typeorm/data-source-like.js'
import { plainRunner } from '../typeorm/plain-runner.js'
import type { Ask, RawConnection, RunnerLike } from '../typeorm/raw-connection.js'
import { setImmediate } from '../util/clock.js'
import { outside } from '../util/outside.js'
import { within } from '../util/within.js'
import { OwnConnections } from './own-data-source.js'
import { queryWithin } from './query-within.js'

/** A connection that belongs to no pool and no session. */
export interface ConnectionBeside {
  readonly connection: RawConnection
  readonly ask: Ask
  /** Closes it as the end of its process would: without a word to the server. */
  end(): void
}

/** How long the server has for a connection, and for an answer, in milliseconds. */
export interface PatienceBeside {
  readonly connect: number
  readonly answer: number
}

/**
 * Runs `work` on connections beside those of the pool, with the options of the DataSource: for questions that need several of them, and
 * that must not take any away from the application. All of them are closed when the work has settled.
 */
export function besideThePool<T>(
  dataSource: DataSourceLike,
  dialect: Dialect,
  most: number,
  patience: PatienceBeside,
  work: (open: () => Promise<ConnectionBeside>) => Promise<T>,
): Promise<T> {
  return outside(async () => {
    const own = new OwnConnections(dataSource, dialect.pool, () => most, patience.connect)
    const opened: ConnectionBeside[] = []
    const open = async (): Promise<ConnectionBeside> => {
      const one = await connect(await own.get(), dialect, patience.answer)
      opened.push(one)
      return one
    }
    try {
      return await work(() => within(open(), patience.connect, undefined, noConnection))
    } finally {
      for (const one of opened) one.end()
      await own.close()
    }
  })
}

async function connect(source: DataSourceLike, dialect: Dialect, patience: number): Promise<ConnectionBeside> {
  const runner: RunnerLike = await (dialect.pool.connect?.(source) ?? plainRunner(source))
  const connection = await runner.connect()
  connection.on('error', ignore)
  const wire = dialect.wire(connection)
  let isOver = false
  return {
    connection,
    ask: (sql) => queryWithin(wire, sql, patience),
    end() {
      if (isOver) return
      isOver = true
      dialect.destroy(connection)
      void runner.release().catch(ignore)
      setImmediate(() => connection.removeListener('error', ignore))
    },
  }
}

const ignore = (): void => {}
const noConnection = (): Error => new Error('no further connection could be opened in time')
