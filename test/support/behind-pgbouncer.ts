import { it } from 'mocha'
import { NamedLockService, type NamedLockServiceOptions } from '../../src/index.js'
import { forEachServerAndTypeorm, type Conformance } from './conformance.js'
import { findPgBouncer, PgBouncer, type PgBouncerOptions } from './pgbouncer.js'
import { dialectKinds } from './servers.js'
import { typeorms, type DataSource } from './typeorms.js'

/** Connects a test to the server through a PgBouncer. Everything that it creates is closed before the PgBouncer. */
export class Behind {
  readonly ctx: Conformance
  readonly pooler: PgBouncer
  readonly #services: NamedLockService[] = []
  readonly #dataSources: DataSource[] = []

  constructor(ctx: Conformance, pooler: PgBouncer) {
    this.ctx = ctx
    this.pooler = pooler
  }

  async dataSource(
    options: { poolSize?: number; extra?: Record<string, unknown>; database?: string } = {},
  ): Promise<DataSource> {
    const dataSource = await this.ctx.dataSource({ ...this.pooler.address, ...options })
    this.#dataSources.push(dataSource)
    return dataSource
  }

  /** With `pooling: 'transaction'`, unless the options say otherwise. */
  async service(options: NamedLockServiceOptions = {}, dataSource?: DataSource): Promise<NamedLockService> {
    const service = await this.ctx.service(
      { pooling: 'transaction', ...options },
      dataSource ?? (await this.dataSource()),
    )
    this.#services.push(service)
    return service
  }

  async end(): Promise<void> {
    for (const service of this.#services) await service.close()
    for (const dataSource of this.#dataSources) if (dataSource.isInitialized) await dataSource.destroy()
    await this.pooler.stop()
  }
}

export type ThroughPgBouncer = (
  title: string,
  options: PgBouncerOptions,
  test: (behind: Behind) => Promise<void>,
  timeout?: number,
) => void

/** Registers tests on PostgreSQL behind a PgBouncer; without one on this machine they are skipped, and listed. */
export function behindPgBouncer(define: (through: ThroughPgBouncer, ctx: Conformance) => void): void {
  const program = findPgBouncer()
  const kinds = dialectKinds.filter((kind) => kind === 'postgres')
  forEachServerAndTypeorm(
    (ctx) => {
      const through: ThroughPgBouncer = (title, options, test, timeout = 120_000) => {
        if (program === undefined) {
          it(`${title} (needs PgBouncer)`)
          return
        }
        it(title, async function () {
          this.timeout(timeout)
          const behind = new Behind(ctx, await PgBouncer.start(program, ctx.address, options))
          try {
            await test(behind)
          } finally {
            await behind.end()
          }
        })
      }
      define(through, ctx)
    },
    typeorms.slice(0, 1),
    undefined,
    kinds,
  )
}
