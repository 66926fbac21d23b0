import type { DataSourceLike } from '../typeorm/data-source-like.js'
import type { PoolDriver } from '../dialect/pool-driver.js'
import { clearTimeout, setTimeout } from '../util/clock.js'
import { outside } from '../util/outside.js'

type OwnDataSource = DataSourceLike & { initialize(): Promise<unknown>; destroy(): Promise<void> }
type DataSourceConstructor = new (options: object) => OwnDataSource

/** How long connections may take to end in order, in milliseconds. */
const END_PATIENCE = 1_000

/**
 * A small DataSource beside the application's, for `connections: 'own'`: the same server and credentials, no entities,
 * no schema work, no logging. Opened when first needed.
 */
export class OwnConnections {
  readonly #application: DataSourceLike
  readonly #pool: PoolDriver
  /** How many connections there may be. */
  readonly #size: () => number
  readonly #patience: number | undefined
  #source: Promise<OwnDataSource> | undefined
  /** The DataSource that is being initialised. */
  #opening: OwnDataSource | undefined

  /** @param patience How long the server may take to let a connection in, in milliseconds, where that is not the application's to say. */
  constructor(application: DataSourceLike, pool: PoolDriver, size: () => number, patience?: number) {
    this.#application = application
    this.#pool = pool
    this.#size = size
    this.#patience = patience
  }

  /** The DataSource, initialised. A failed try is forgotten, so that the next call tries again. */
  get(): Promise<DataSourceLike> {
    this.#source ??= this.#initialize().catch((error: unknown) => {
      this.#source = undefined
      throw error
    })
    return this.#source
  }

  /** Whether there are connections, or they are being opened. */
  get isOpen(): boolean {
    return this.#source !== undefined
  }

  /** Ends them all. Never rejects, and waits neither for a network that swallows everything nor for a connection on its way. */
  async close(): Promise<void> {
    const opening = this.#opening
    // The network may have fallen silent in the middle of it.
    if (opening) outside(() => setTimeout(() => this.#pool.ending(opening)(), END_PATIENCE).unref())
    const ended = this.#source?.then(
      (source) => end(source, this.#pool),
      () => {},
    )
    this.#source = undefined
    if (!ended) return
    let late: NodeJS.Timeout | undefined
    await Promise.race([ended, new Promise((resolve) => (late = setTimeout(resolve, END_PATIENCE)))])
    clearTimeout(late)
  }

  async #initialize(): Promise<OwnDataSource> {
    const Constructor = baseConstructor(this.#application)
    const options = this.#application.options as { type: string; extra?: object }
    const source = new Constructor({
      ...options,
      name: undefined,
      entities: [],
      subscribers: [],
      migrations: [],
      synchronize: false,
      dropSchema: false,
      migrationsRun: false,
      cache: false,
      logging: false,
      ...this.#pool.ownOptions(options, this.#size(), this.#patience),
    })
    this.#opening = source
    try {
      await source.initialize()
    } finally {
      this.#opening = undefined
    }
    return source
  }
}

async function end(source: OwnDataSource, pool: PoolDriver): Promise<void> {
  // A connection that gets no answer to its farewell would keep the process alive.
  setTimeout(pool.ending(source), END_PATIENCE).unref()
  // An error of a connection that has just died changes nothing: it had to end.
  await source.destroy().catch(() => {})
}

/** TypeORM's own DataSource class, also when the application's is derived from it with a constructor of another shape. */
function baseConstructor(dataSource: object): DataSourceConstructor {
  let prototype = Object.getPrototypeOf(dataSource) as object
  for (;;) {
    const above = Object.getPrototypeOf(prototype) as object | null
    if (!above || above === Object.prototype) return prototype.constructor as DataSourceConstructor
    prototype = above
  }
}
