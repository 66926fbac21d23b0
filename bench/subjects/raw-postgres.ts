import { hash } from 'node:crypto'
import { Client } from 'pg'
import type { ServerAddress } from '../../dev/servers/index.js'
import type { HandleSubject } from './subject.js'

/**
 * pg with the usual statements, or, if `isPrepared`, prepared once for the connection. Keys are numbers, as usual for
 * advisory locks without a library; each name is hashed at its first use only.
 */
export async function openRawPostgres(
  { host, port, username: user, password, database }: ServerAddress,
  isPrepared = false,
): Promise<HandleSubject> {
  const client = new Client({ host, port, user, password, database })
  client.on('error', () => undefined) // the failing statement reports it
  await client.connect()
  const keys = new Map<string, string>()

  const keyOf = (name: string): string => {
    let key = keys.get(name)
    if (key === undefined) keys.set(name, (key = hash('sha256', name, 'buffer').readBigInt64BE(0).toString()))
    return key
  }
  const lock = async (name: string): Promise<void> => {
    const text = 'SELECT pg_advisory_lock($1)'
    await client.query(isPrepared ? { name: 'lock', text, values: [keyOf(name)] } : { text, values: [keyOf(name)] })
  }
  const unlock = async (name: string): Promise<void> => {
    const text = 'SELECT pg_advisory_unlock($1) AS result'
    const values = [keyOf(name)]
    const { rows } = await client.query<{ result: boolean }>(
      isPrepared ? { name: 'unlock', text, values } : { text, values },
    )
    if (rows[0]?.result !== true) throw new Error(`The lock '${name}' was not held`)
  }

  return {
    async withLock(name, work) {
      await lock(name)
      try {
        return await work()
      } finally {
        await unlock(name)
      }
    },
    async acquire(name) {
      await lock(name)
      return () => unlock(name)
    },
    [Symbol.asyncDispose]: () => client.end(),
  }
}
