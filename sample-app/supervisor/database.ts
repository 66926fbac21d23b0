import { DataSource } from 'typeorm'
import { databaseOptions, entities, migrationsTable } from '../shop/database-options.js'
import { Event } from '../shop/entities/event.js'
import { Till } from '../shop/entities/till.js'
import { UserError } from './user-error.js'

export async function openDatabase(url: string): Promise<DataSource> {
  const address = parse(url)
  try {
    return await new DataSource(databaseOptions(url)).initialize()
  } catch (error) {
    const database = `${address.protocol}//${address.host}${address.pathname}`
    throw new UserError(`Cannot connect to ${database}: ${reason(error)}`)
  }
}

export function tableNames(dataSource: DataSource): string[] {
  return [...dataSource.entityMetadatas.map((entity) => entity.tableName), migrationsTable]
}

/** Runs `work`, and drops the tables before and after it; the shop's migrations create them. */
export async function withoutTables<T>(dataSource: DataSource, work: () => Promise<T>): Promise<T> {
  await dropTables(dataSource) // tables left by a run that was killed
  try {
    return await work()
  } finally {
    await dropTables(dataSource)
  }
}

/**
 * Creates new events in an empty shop. Rows are deleted, not truncated, so that no id is used twice: late writes for an
 * old order cannot be confused with orders of the new sale.
 */
export async function putUpForSale(
  { manager }: DataSource,
  titles: readonly string[],
  capacity: number,
): Promise<Event[]> {
  for (const entity of entities) await manager.createQueryBuilder().delete().from<object>(entity).execute()
  const events = titles.map((title, index) => ({ id: index + 1, title, capacity, available: capacity, price: 25 }))
  await manager.insert(
    Till,
    events.map(({ id }) => ({ eventId: id, amount: 0 })),
  )
  return manager.save(Event, events)
}

async function dropTables(dataSource: DataSource): Promise<void> {
  for (const table of tableNames(dataSource)) await dataSource.query(`DROP TABLE IF EXISTS ${table}`)
}

function parse(url: string): URL {
  const example = 'Use a URL like mysql://user:password@127.0.0.1:3306/database (or mariadb://…, postgres://…).'
  if (!URL.canParse(url)) throw new UserError(`This is not a database URL.\n${example}`)
  const address = new URL(url)
  if (!['mysql:', 'mariadb:', 'postgres:', 'postgresql:'].includes(address.protocol)) {
    throw new UserError(`The sample needs MySQL, MariaDB or PostgreSQL, not ${address.protocol}//\n${example}`)
  }
  if (address.pathname.length < 2) throw new UserError(`The URL contains no database name.\n${example}`)
  return address
}

/** A refused connection is an AggregateError without a message of its own. */
export function reason(error: unknown): string {
  const { message, code } = error as Error & { code?: string }
  return message || code || String(error)
}
