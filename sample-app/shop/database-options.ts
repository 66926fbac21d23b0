import type { DataSourceOptions } from 'typeorm'
import { Event } from './entities/event.js'
import { Order } from './entities/order.js'
import { Payout } from './entities/payout.js'
import { Seat } from './entities/seat.js'
import { Till } from './entities/till.js'
import { CreateTables1700000000000 } from './migrations/create-tables.js'

export const entities = [Event, Till, Seat, Order, Payout]
export const migrationsTable = 'named_lock_sample_migrations'

export function databaseOptions(url: string): DataSourceOptions {
  return {
    type: typeOf(url),
    url,
    entities,
    migrations: [CreateTables1700000000000],
    migrationsTableName: migrationsTable,
    poolSize: 10,
  }
}

function typeOf(url: string): 'mysql' | 'mariadb' | 'postgres' {
  if (/^postgres(ql)?:/.test(url)) return 'postgres'
  return url.startsWith('mariadb:') ? 'mariadb' : 'mysql'
}
