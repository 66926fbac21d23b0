import { readPartKey } from '../../../src/names/part-keys.js'

/** A lock row of MySQL or MariaDB, as the server shows it. */
interface Row {
  readonly key: string
  readonly id: string
  readonly home: string | null
  readonly status: string
}

/**
 * Where readers and writers are made of ordinary locks: one row for each connection that holds the lock. A writer has the gate and all
 * 64 slots; one that has only some of them holds nothing yet (`FILLING`).
 */
export function joinParts<R extends Row>(rows: readonly R[]): (R & { readonly isShared: boolean })[] {
  const slots = new Map<string, R[]>()
  for (const row of rows) {
    const base = row.status === 'GRANTED' ? readPartKey(row.key)?.base : undefined
    const of = `${base} ${row.id}`
    if (base !== undefined && !slots.get(of)?.push(row)) slots.set(of, [row])
  }
  const joined = rows
    .filter((row) => readPartKey(row.key) === undefined)
    .map((row) => {
      const own = slots.get(`${row.key} ${row.id}`)
      if (!own || row.status !== 'GRANTED') return { ...row, isShared: false }
      slots.delete(`${row.key} ${row.id}`)
      return { ...row, isShared: false, status: own.length === 64 ? row.status : 'FILLING' }
    })
  const readers = [...slots.values()].flatMap((own) =>
    own.map((row) => ({ ...row, key: readPartKey(row.key)?.base ?? row.key, isShared: true })),
  )
  return [...joined, ...readers]
}
