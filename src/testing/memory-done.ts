import type { DoneRows, OldRow } from '../dialect/done-rows.js'
import { testNow } from './test-clock.js'

/** A name that is done. */
interface Row {
  readonly name: string
  readonly doneAt: number
}

/** What `runOnce` has done on an in-memory server: rows by key, and those that a connection's transaction has written so far. */
export class MemoryDone {
  readonly #rows = new Map<string, Row>()
  readonly #written = new Map<object, Map<string, Row>>()

  /** Answers a statement of `MEMORY_DONE`. */
  answer(connection: object, [request, key = '', time = '0', name = '']: string[]): unknown[] {
    const since = testNow() - Number(time)
    const { doneAt } = this.#written.get(connection)?.get(key) ?? this.#rows.get(key) ?? {}
    switch (request) {
      case 'read':
        return doneAt !== undefined && doneAt > since ? [String(doneAt)] : []
      case 'claim': {
        if (doneAt !== undefined && doneAt > since) return ['0']
        const written = this.#written.get(connection) ?? new Map<string, Row>()
        this.#written.set(connection, written.set(key, { name, doneAt: testNow() }))
        return ['1']
      }
      case 'forget':
        return [this.#rows.delete(key) ? '1' : '0']
      default:
        return [...this.#rows]
          .filter(([one, row]) => one.startsWith(key) && row.doneAt < since)
          .flatMap(([one, row]) => [one, row.name, String(row.doneAt)])
    }
  }

  commit(connection: object): void {
    for (const [key, row] of this.#written.get(connection) ?? []) this.#rows.set(key, row)
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
  claim: async (ask, key, name, every) => {
    const request = `done claim ${encodeURIComponent(key)} ${every} ${encodeURIComponent(name)}`
    return answersOf(await ask(request))[0] === '1'
  },
  forget: async (ask, key) => answersOf(await ask(`done forget ${encodeURIComponent(key)}`))[0] === '1',
  // All at once: nothing is left for a second batch.
  old: async (ask, prefix, age, last) => {
    const texts = last
      ? []
      : answersOf(await ask(`done old ${encodeURIComponent(prefix)} ${age}`)).map(decodeURIComponent)
    const rows: OldRow[] = []
    for (let i = 0; i < texts.length; i += 3) rows.push(texts.slice(i, i + 3) as unknown as OldRow)
    return rows
  },
  purge: async (ask, keys) => {
    let removed = 0
    for (const key of keys) removed += Number(answersOf(await ask(`done forget ${encodeURIComponent(key)}`))[0])
    return removed
  },
}

function answersOf(rows: unknown): string[] {
  return (rows as string[][])[0] ?? []
}
