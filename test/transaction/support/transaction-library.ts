import type { DataSource, EntityManager } from 'typeorm'
import { WithNamedLock, type NamedLockService } from '../../../src/index.js'

/** What a decorator of another library says of the transaction around it. The libraries use the same words. */
export const kinds = ['REQUIRED', 'REQUIRES_NEW', 'NESTED', 'SUPPORTS', 'MANDATORY', 'NOT_SUPPORTED', 'NEVER'] as const
export type Kind = (typeof kinds)[number]

/** A library for transactions, as an application uses it. */
export interface TransactionLibrary {
  /** Its decorator. */
  transactional(kind: Kind, isolation?: string): MethodDecorator
  /** The EntityManager that the application writes with. */
  manager(): EntityManager
}

/** The table that all of this writes to. */
export const note = {
  name: 'note',
  columns: {
    id: { type: 'int' as const, primary: true, generated: true as const },
    text: { type: 'varchar' as const, length: '40' },
  },
}

/** What becomes of each kind directly inside `locks.transaction`, as docs/transactions-with-other-libraries.md says. */
export const direct: Readonly<Record<Kind, string>> = {
  REQUIRED: 'savepoint',
  REQUIRES_NEW: 'savepoint',
  NESTED: 'savepoint',
  SUPPORTS: 'joined',
  MANDATORY: 'refused by the library',
  NOT_SUPPORTED: 'joined',
  NEVER: 'joined',
}

/** The same inside a decorated method inside `locks.transaction`. */
export const decorated: Readonly<Record<Kind, string>> = {
  ...direct,
  REQUIRED: 'joined',
  MANDATORY: 'joined',
  NEVER: 'refused by the library',
}

/** Without ambient transactions, directly inside `locks.transaction`. */
export const guarded: Readonly<Record<Kind, string>> = {
  REQUIRED: 'NamedLockOutsideTransactionError',
  REQUIRES_NEW: 'NamedLockOutsideTransactionError',
  NESTED: 'NamedLockOutsideTransactionError',
  SUPPORTS: 'NamedLockOutsideTransactionError',
  MANDATORY: 'refused by the library',
  NOT_SUPPORTED: 'NamedLockOutsideTransactionError',
  NEVER: 'NamedLockOutsideTransactionError',
}

/** With both decorators on one method. */
export const orders = {
  ambient: {
    lockAbove: 'two connections',
    lockBelow: 'NamedLockInsideTransactionError',
    transactionAbove: 'one connection',
    transactionBelow: 'NamedLockInsideTransactionError',
    lockTransaction: 'one connection',
  },
  get guarded() {
    return { ...this.ambient, transactionAbove: 'NamedLockOutsideTransactionError' }
  },
}

export const isolation = {
  same: 'savepoint',
  other: 'NamedLockConfigurationError',
  unknown: 'NamedLockConfigurationError',
}

/** Inside `locks.outside`, in a decorated method inside `locks.transaction`. */
export const outside = {
  manager: 'NamedLockConfigurationError',
  NOT_SUPPORTED: 'sent, outside stays',
  REQUIRES_NEW: 'sent, outside stays',
}

type Work = () => Promise<unknown>
type Around = (work: Work) => Promise<unknown>

const mine = new Error('mine')

/** Transactions of a library around and inside those of locks: on which connection they are, and which rows stay. */
export class Scenes {
  readonly library: TransactionLibrary
  readonly dataSource: DataSource
  readonly locks: NamedLockService
  readonly #isPostgres: boolean

  constructor(library: TransactionLibrary, dataSource: DataSource, locks: NamedLockService) {
    this.library = library
    this.dataSource = dataSource
    this.locks = locks
    this.#isPostgres = dataSource.options.type === 'postgres'
  }

  readonly inTransaction: Around = (work) => this.locks.transaction('notes', { timeout: '5s' }, work)
  readonly inDecorated: Around = (work) => this.inTransaction(() => this.run('REQUIRED', work))

  /** Runs work in a method that is decorated with that kind. */
  run(kind: Kind, work: Work, isolation?: string): Promise<unknown> {
    class Service {
      method(): Promise<unknown> {
        return work()
      }
    }
    const { prototype } = Service
    const decorate = this.library.transactional(kind, isolation)
    const method = Object.getOwnPropertyDescriptor(prototype, 'method')!
    Object.defineProperty(prototype, 'method', decorate(prototype, 'method', method) ?? method)
    return new Service().method()
  }

  /**
   * What becomes of a transaction of each kind inside `around`. `savepoint`: it is on the connection of the transaction around it, is
   * rolled back with that, and can be rolled back alone; `joined`: it cannot. The error where it is refused.
   */
  async fates(around: Around): Promise<Record<string, string>> {
    const table: Record<string, string> = {}
    for (const kind of kinds) table[kind] = await this.fate(around, kind)
    return table
  }

  async fate(around: Around, kind: Kind, isolation?: string): Promise<string> {
    const { fate, stays } = await this.#run(around, kind, isolation, 'around')
    if (stays.length > 0) return `${fate}, ${stays.join(' and ')} stays`
    if (fate !== 'joined') return fate
    const alone = await this.#run(around, kind, isolation, 'alone')
    if (!alone.stays.includes('outer')) return 'joined, and the transaction around it fails with it'
    return alone.stays.includes('inner') ? 'joined' : 'savepoint'
  }

  /** A decorated method that says which isolation it wants. */
  async isolation(): Promise<Record<string, string>> {
    const committed: Around = (work) => this.locks.transaction('notes', { isolation: 'READ COMMITTED' }, work)
    return {
      same: await this.fate(committed, 'REQUIRED', 'READ COMMITTED'),
      other: await this.fate(committed, 'REQUIRED', 'SERIALIZABLE'),
      unknown: await this.fate(this.inTransaction, 'REQUIRED', 'SERIALIZABLE'),
    }
  }

  /** Two decorators on one method, in either order; the method fails in the end. */
  async orders(): Promise<Record<string, string>> {
    const { dataSource, locks } = this
    const write = () => this.#writeUnderLock()
    const Transactional = () => this.library.transactional('REQUIRED') as any
    class Service {
      readonly dataSource = dataSource
      readonly locks = locks

      @WithNamedLock('notes', '5s')
      @Transactional()
      async lockAbove(): Promise<string> {
        return write()
      }

      @Transactional()
      @WithNamedLock('notes', '5s')
      async lockBelow(): Promise<string> {
        return write()
      }

      @WithNamedLock('notes', '5s', { transaction: true })
      @Transactional()
      async transactionAbove(): Promise<string> {
        return write()
      }

      @Transactional()
      @WithNamedLock('notes', '5s', { transaction: true })
      async transactionBelow(): Promise<string> {
        return write()
      }

      @Transactional()
      async lockTransaction(): Promise<string> {
        await this.locks.lockTransaction(manager(), 'notes', { timeout: '5s' })
        return write()
      }
    }
    const manager = () => this.library.manager()
    const service = new Service()
    const table: Record<string, string> = {}
    for (const order of [
      'lockAbove',
      'lockBelow',
      'transactionAbove',
      'transactionBelow',
      'lockTransaction',
    ] as const) {
      await this.clear()
      table[order] = await service[order]().catch((error: unknown) =>
        error instanceof Found ? error.message : nameOf(error),
      )
      for (const text of await this.committed()) table[order] += `, ${text} stays`
    }
    return table
  }

  /** What is sent inside `locks.outside`, in a decorated method inside `locks.transaction`, which fails in the end. */
  async outside(): Promise<Record<string, string>> {
    const ways: Record<string, Work> = {
      manager: () => this.library.manager().insert('note', { text: 'outside' }),
      NOT_SUPPORTED: () => this.run('NOT_SUPPORTED', () => this.write('outside')),
      REQUIRES_NEW: () => this.run('REQUIRES_NEW', () => this.library.manager().insert('note', { text: 'outside' })),
    }
    const table: Record<string, string> = {}
    for (const [way, write] of Object.entries(ways)) {
      await this.clear()
      let fate = 'sent'
      await this.inDecorated(async () => {
        await this.library.manager().insert('note', { text: 'inside' })
        await this.locks.outside(write).catch((error: unknown) => (fate = nameOf(error)))
        throw mine
      }).catch(() => {})
      table[way] = [fate, ...(await this.committed()).map((text) => `${text} stays`)].join(', ')
    }
    return table
  }

  /** By every way that an application has. Resolves to the connections. */
  async write(text: string): Promise<Set<string>> {
    const repository = this.dataSource.getRepository('note')
    await repository.insert({ text })
    await this.library.manager().insert('note', { text })
    const ids: string[] = []
    for (const way of [repository, this.library.manager(), this.dataSource]) ids.push(await this.idOf(way))
    return new Set(ids)
  }

  async idOf(way: Pick<EntityManager, 'query'>): Promise<string> {
    const [row] = await way.query(`SELECT ${this.#isPostgres ? 'pg_backend_pid()' : 'CONNECTION_ID()'} AS id`)
    return String(row.id)
  }

  /** The texts that are committed, each once. */
  async committed(): Promise<string[]> {
    const rows: { text: string }[] = await this.dataSource.query('SELECT DISTINCT text FROM note ORDER BY text')
    return rows.map(({ text }) => text)
  }

  async clear(): Promise<void> {
    await this.dataSource.query('DELETE FROM note')
  }

  /** @param fails What throws: the work around the transaction, or the transaction alone. */
  async #run(
    around: Around,
    kind: Kind,
    isolation: string | undefined,
    fails: 'around' | 'alone',
  ): Promise<{ fate: string; stays: string[] }> {
    await this.clear()
    let fate = 'not run'
    const failure = await around(async () => {
      await this.locks.manager.insert('note', { text: 'outer' })
      const outer = await this.idOf(this.locks.manager)
      const inner = async (): Promise<void> => {
        const ids = await this.write('inner')
        fate = ids.size === 1 && ids.has(outer) ? 'joined' : 'elsewhere'
        if (fails === 'alone') throw mine
      }
      try {
        await this.run(kind, inner, isolation)
      } catch (error) {
        if (error !== mine) fate = nameOf(error)
      }
      if (fails === 'around') throw mine
    }).catch((error: unknown) => error)
    if (failure && failure !== mine) fate = `failed: ${nameOf(failure)}`
    return { fate, stays: await this.committed() }
  }

  /** Throws what it has found. */
  async #writeUnderLock(): Promise<never> {
    const manager = this.library.manager()
    await manager.insert('note', { text: 'note' })
    const id = await this.idOf(manager)
    const sql = this.#isPostgres
      ? "SELECT pid AS id FROM pg_locks l JOIN pg_database d ON d.oid = l.database WHERE locktype = 'advisory' AND datname = current_database() LIMIT 1"
      : `SELECT CAST(IS_USED_LOCK('${String(this.dataSource.options.database)}.notes') AS CHAR) AS id`
    const [holder] = await this.dataSource.query(sql)
    if (!holder?.id) throw new Found('not locked')
    throw new Found(String(holder.id) === id ? 'one connection' : 'two connections')
  }
}

class Found extends Error {}

/** The name of an error of the locks, also as TypeORM wraps it; those of the libraries are one. */
function nameOf(error: unknown): string {
  const { driverError = error } = error as { driverError?: unknown }
  const name = driverError instanceof Error ? driverError.name : String(driverError)
  return /^Transaction\w*Error$/.test(name) ? 'refused by the library' : name
}
