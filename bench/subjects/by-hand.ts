import type { QueryRunner } from 'typeorm'

/** A manual lock on a separate connection: waits up to a minute. */
export async function lockOn(runner: QueryRunner, name: string): Promise<void> {
  if (runner.connection.options.type === 'postgres') {
    // Fails when the pool's lock_timeout expires.
    await runner.query('SELECT pg_advisory_lock(hashtextextended($1, 0))', [name])
    return
  }
  const rows = await runner.query('SELECT GET_LOCK(?, 60) AS locked', [name])
  if (Number(rows[0].locked) !== 1) throw new Error(`No lock '${name}' within 60 s`)
}

export async function unlockOn(runner: QueryRunner, name: string): Promise<void> {
  const isPostgres = runner.connection.options.type === 'postgres'
  await runner.query(isPostgres ? 'SELECT pg_advisory_unlock(hashtextextended($1, 0))' : 'SELECT RELEASE_LOCK(?)', [
    name,
  ])
}
