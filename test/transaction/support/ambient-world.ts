import type { DataSource as RealDataSource } from 'typeorm'
import type { Conformance } from '../../support/conformance.js'
import type { DataSource } from '../../support/typeorms.js'

export interface Item {
  id?: number
  call: string
  n: number
}
export interface Author {
  id?: number
  name: string
  books?: Book[] | Promise<Book[]>
}
export interface Book {
  id?: number
  title: string
  author?: Author | Promise<Author>
}
export interface Folder {
  id?: number
  name: string
  parent?: Folder
}

const id = { type: 'int' as const, primary: true, generated: true as const }

/** Entities as applications have them: plain, with a cascade, lazy relations, a tree, soft deletion. */
const entities = [
  {
    name: 'item',
    columns: { id, call: { type: 'varchar' as const, length: '40' }, n: { type: 'int' as const } },
  },
  {
    name: 'author',
    columns: { id, name: { type: 'varchar' as const, length: '40', unique: true } },
    relations: {
      books: {
        type: 'one-to-many' as const,
        target: 'book',
        inverseSide: 'author',
        cascade: true as const,
        eager: true,
      },
    },
  },
  {
    name: 'book',
    columns: {
      id,
      title: { type: 'varchar' as const, length: '40' },
      gone: { type: 'timestamp' as const, deleteDate: true, nullable: true },
    },
    relations: { author: { type: 'many-to-one' as const, target: 'author', inverseSide: 'books', lazy: true } },
  },
  {
    name: 'folder',
    columns: { id, name: { type: 'varchar' as const, length: '40' } },
    trees: [{ type: 'closure-table' as const }],
    relations: {
      parent: { type: 'many-to-one' as const, treeParent: true as const, target: 'folder' },
      children: { type: 'one-to-many' as const, treeChildren: true as const, target: 'folder', cascade: true as const },
    },
  },
]

/** Writes beside everything that is written to `author`, through the DataSource, not through the event's manager. */
export class AuthorSubscriber {
  listenTo(): string {
    return 'author'
  }

  async afterInsert({ connection, dataSource, entity }: Record<string, any>): Promise<void> {
    const source = (dataSource ?? connection) as RealDataSource
    await source.getRepository<Item>('item').insert({ call: `subscriber of ${entity.name}`, n: 1 })
  }
}

/** A DataSource with these entities and empty tables. */
export async function openWorld(ctx: Conformance, more: Record<string, unknown> = {}): Promise<DataSource> {
  const dataSource = await ctx.dataSource({
    entities: entities,
    more: { subscribers: [AuthorSubscriber], ...more },
  })
  await dataSource.synchronize(true)
  return dataSource
}

/** How many rows are committed, over all tables. */
export async function committedRows(ctx: Conformance): Promise<number> {
  let rows = 0
  for (const table of ['item', 'author', 'book', 'folder']) {
    rows += Number(await ctx.outsider.value(`SELECT COUNT(*) FROM ${ctx.database}.${table}`))
  }
  return rows
}

export async function clearWorld(ctx: Conformance): Promise<void> {
  await ctx.outsider.query(`UPDATE ${ctx.database}.folder SET ${ctx.sql('`parentId`', '"parentId"')} = NULL`)
  for (const table of ['folder_closure', 'folder', 'book', 'author', 'item']) {
    await ctx.outsider.query(`DELETE FROM ${ctx.database}.${table}`)
  }
}
