import type { Variation } from '../variation.js'

const all = ['mysql', 'mariadb', 'postgres'] as const
const family = ['mysql', 'mariadb'] as const

/** Options of TypeORM's DataSource. */
export const dataSourceOptions: readonly Variation[] = [
  {
    name: 'poolSize 2',
    kinds: all,
    dataSource: { poolSize: 2 },
    finds: ['POOL_TOO_SMALL'],
    bothMajors: true,
    isFast: true,
  },
  { name: 'poolSize 3', kinds: all, dataSource: { poolSize: 3 }, finds: ['POOL_TOO_SMALL'], bothMajors: true },
  { name: 'supportBigNumbers off', kinds: family, dataSource: { supportBigNumbers: false }, bothMajors: true },
  { name: 'bigNumberStrings off', kinds: family, dataSource: { bigNumberStrings: false }, bothMajors: true },
  { name: 'dateStrings', kinds: family, dataSource: { dateStrings: true }, bothMajors: true },
]
