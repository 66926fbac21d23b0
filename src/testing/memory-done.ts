import type { DoneRows } from '../dialect/done-rows.js'
import { wallNow } from '../util/clock.js'

/** What `runOnce` has done on an in-memory server: rows by key, and those that a connection's transaction has written so far. */
export class MemoryDone {
  readonly #rows = new Map<string, number>()
  readonly #written = new Map<object, Map<string, number>>()

  /** Answers a statement of `MEMORY_DONE`. */
  answer(connection: object, [request, key = '', time = '0']: string[]): unknown[] {
    const since = wallNow() - Number(time)
    const doneAt = this.#written.get(connection)?.get(key) ?? this.#rows.get(key)
    switch (request) {
      case 'read':
        return doneAt !== undefined && doneAt > since ? [String(doneAt)] : []
      case 'claim': {
        if (doneAt !== undefined && doneAt > since) return ['0']
        const written = this.#written.get(connection) ?? new Map<string, number>()
        this.#written.set(connection, written.set(key, wallNow()))
        return ['1']
      }
      case 'forget':
        return [this.#rows.delete(key) ? '1' : '0']
      default:
        return [...this.#rows].filter(([one, at]) => one.startsWith(key) && at < since).map(([one]) => one)
    }
  }

  commit(connection: object): void {
    for (const [key, doneAt] of this.#written.get(connection) ?? []) this.#rows.set(key, doneAt)
    this.#written.delete(connection)
  }

  rollBack(connection: object): void {
    this.#written.delete(connection)
  }
}

/** The statements of `runOnce` for an in-memory server. */
export const MEMORY_DONE: DoneRows = {
  create: [],
  isMissing: () => false,
  read: async (ask, key, every) => {
    const [doneAt] = answersOf(await ask(`done read ${encodeURIComponent(key)} ${every}`))
    return doneAt === undefined ? undefined : new Date(Number(doneAt))
  },
  claim: async (ask, key, _name, every) =>
    answersOf(await ask(`done claim ${encodeURIComponent(key)} ${every}`))[0] === '1',
  forget: async (ask, key) => answersOf(await ask(`done forget ${encodeURIComponent(key)}`))[0] === '1',
  old: async (ask, prefix, age) => answersOf(await ask(`done old ${encodeURIComponent(prefix)} ${age}`)),
  purge: async (ask, keys) => {
    let removed = 0
    for (const key of keys) removed += Number(answersOf(await ask(`done forget ${key}`))[0])
    return removed
  },
}

function answersOf(rows: unknown): string[] {
  return (rows as string[][])[0] ?? []
}
