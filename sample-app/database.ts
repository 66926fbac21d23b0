import { DataSource } from 'typeorm'
import { Event } from './entities/event.js'
import { Order } from './entities/order.js'
import { Payout } from './entities/payout.js'
import { Seat } from './entities/seat.js'
import { UserError } from './user-error.js'

const entities = [Event, Seat, Order, Payout]

export async function openDatabase(url: string): Promise<DataSource> {
  const address = parse(url)
  const type = address.protocol === 'mariadb:' ? 'mariadb' : 'mysql'
  try {
    return await new DataSource({ type, url, entities, poolSize: 10 }).initialize()
  } catch (error) {
    const database = `${address.protocol}//${address.host}${address.pathname}`
    throw new UserError(`Can not connect to ${database}: ${reason(error)}`)
  }
}

export function tableNames(dataSource: DataSource): string[] {
  return dataSource.entityMetadatas.map((entity) => entity.tableName)
}

/** Creates the tables of the sample for the time of `work`. */
export async function withTables<T>(dataSource: DataSource, work: () => Promise<T>): Promise<T> {
  await dropTables(dataSource) // what a run that was killed has left
  try {
    await dataSource.synchronize()
    return await work()
  } finally {
    await dropTables(dataSource)
  }
}

export async function emptyTables(dataSource: DataSource): Promise<void> {
  for (const entity of entities) await dataSource.getRepository<object>(entity).clear()
}

async function dropTables(dataSource: DataSource): Promise<void> {
  for (const table of tableNames(dataSource)) await dataSource.query(`DROP TABLE IF EXISTS ${table}`)
}

function parse(url: string): URL {
  const example = 'Write it like mysql://user:password@127.0.0.1:3306/database (or mariadb://…).'
  if (!URL.canParse(url)) throw new UserError(`This is not the address of a database.\n${example}`)
  const address = new URL(url)
  if (!['mysql:', 'mariadb:'].includes(address.protocol)) {
    throw new UserError(`The sample needs MySQL or MariaDB, not ${address.protocol}//\n${example}`)
  }
  if (address.pathname.length < 2) throw new UserError(`The address names no database.\n${example}`)
  return address
}

/** A refused connection is an AggregateError without a message of its own. */
function reason(error: unknown): string {
  const { message, code } = error as Error & { code?: string }
  return message || code || String(error)
}
