import { expect } from 'chai'
import { createPool } from 'mysql2'
import { Pool } from 'pg'
import { NamedLockConfigurationError, NamedLockService } from '../../src/index.js'
import { MYSQL2_POOL } from '../../src/dialect/mysql/mysql2-pool.js'
import { PG_POOL } from '../../src/dialect/postgres/pg-pool.js'
import { typeorms, type DataSource } from '../support/typeorms.js'

/** Sizes as an environment, a YAML file or a typing mistake can produce them. */
const VALUES: readonly unknown[] = [
  undefined,
  null,
  0,
  1,
  3,
  25,
  2.5,
  Infinity,
  NaN,
  '',
  '0',
  '3',
  ' 7 ',
  '1e1',
  '0x10',
  '10abc',
  'ten',
  true,
  false,
  -1,
  '-4',
]

/** Every place for the size, and some combinations that disagree. */
const PLACES: Readonly<Record<string, (value: unknown, limit: string) => Record<string, unknown>>> = {
  poolSize: (value) => ({ poolSize: value }),
  extra: (value, limit) => ({ extra: { [limit]: value } }),
  'extra over poolSize': (value, limit) => ({ poolSize: 5, extra: { [limit]: value } }),
  'poolSize over the address': (value, limit) => ({
    poolSize: value,
    url: `${limit === 'max' ? 'postgres' : 'mysql'}://u:p@127.0.0.1/app?connectionLimit=4&max=4`,
  }),
  'the master over all': (value) => ({
    poolSize: 6,
    replication: { master: { host: '127.0.0.1', poolSize: value }, slaves: [] },
  }),
  'the address in extra': (value) => ({
    extra: { uri: `mysql://u:p@127.0.0.1/app?connectionLimit=${encodeURIComponent(String(value))}` },
  }),
  "pg's own name for it": (value, limit) => (limit === 'max' ? { extra: { poolSize: value } } : {}),
}

const shown = (value: unknown): string => (typeof value === 'string' ? `'${value}'` : String(value))

describe('the size of a pool', () => {
  for (const { name, module } of typeorms) {
    for (const [place, optionsOf] of Object.entries(PLACES)) {
      for (const value of VALUES) {
        const make = (type: 'mysql' | 'postgres'): DataSource =>
          new module.DataSource({
            type,
            host: '127.0.0.1',
            database: 'app',
            ...(optionsOf(value, type === 'mysql' ? 'connectionLimit' : 'max') as object),
          })

        it(`is what mysql2 reads: ${place} ${shown(value)}, ${name}`, () => {
          const dataSource = make('mysql')
          const options = dataSource.options as { replication?: { master: object } }
          const driver = dataSource.driver as unknown as {
            createConnectionOptions(options: object, credentials: object): Parameters<typeof createPool>[0] & object
          }
          const given = driver.createConnectionOptions(options, options.replication?.master ?? options)
          const pool = createPool(given)
          const { connectionLimit } = (pool as unknown as { config: { connectionLimit: number } }).config
          pool.end(() => {})
          expectSame(dataSource, MYSQL2_POOL, connectionLimit === 0 ? Infinity : connectionLimit)
        })

        it(`is what pg reads: ${place} ${shown(value)}, ${name}`, () => {
          const dataSource = make('postgres')
          const { poolSize, extra } = dataSource.options as { poolSize?: number; extra?: object }
          const pool = new Pool({ ...{ max: poolSize as number }, ...extra })
          const { max } = pool.options as { max: unknown }
          // The comparison by which pg-pool decides whether it is full.
          let most = 0
          while (!(most >= (max as number)) && most < 1_000) most++
          expectSame(dataSource, PG_POOL, most === 1_000 ? Infinity : most)
        })
      }
    }
  }
})

function expectSame(dataSource: DataSource, pool: typeof PG_POOL, size: number): void {
  if (size > 0) {
    expect(pool.size(dataSource)).to.equal(Math.ceil(size))
    return
  }
  expect(() => new NamedLockService(dataSource)).to.throw(NamedLockConfigurationError, /never gives a connection out/)
}
