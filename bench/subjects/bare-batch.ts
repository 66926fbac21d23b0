import { createConnection } from 'mysql2'
import type { ServerAddress } from '../../dev/servers/index.js'
import type { Subject } from './subject.js'

/**
 * What batching alone costs: requests that come during a statement go out together in the next one, and nothing else. No queue, so that
 * two callers of one name would both get it; no timeout, no lease, no scope. The limit for the library's CPU per lock with this driver.
 */
export async function openBareBatch(address: ServerAddress): Promise<Subject> {
  const { host, port, username: user, password, database } = address
  const connection = createConnection({ host, port, user, password, database })
  connection.on('error', () => undefined) // the failing statement reports it
  let gathered: { expression: string; resolve: (answer: string) => void }[] = []
  let isFlying = false

  const send = () => {
    if (isFlying || gathered.length === 0) return
    const flown = gathered
    gathered = []
    isFlying = true
    const sql = `SELECT CONCAT_WS(',',${flown.map(({ expression }) => expression).join()}) r`
    connection.query<any[]>(sql, (error, rows) => {
      if (error) throw error
      const answers = String(rows[0].r).split(',')
      isFlying = false
      for (let i = 0; i < flown.length; i++) flown[i]!.resolve(answers[i]!)
      setImmediate(send)
    })
  }
  const ask = (expression: string): Promise<string> =>
    new Promise((resolve) => {
      gathered.push({ expression, resolve })
      if (!isFlying && gathered.length === 1) setImmediate(send)
    })

  return {
    async withLock(name, work) {
      if ((await ask(`GET_LOCK('${name}',0)`)) !== '1') throw new Error(`The lock '${name}' is held.`)
      try {
        return await work()
      } finally {
        await ask(`RELEASE_LOCK('${name}')`)
      }
    },
    [Symbol.asyncDispose]: () => new Promise((resolve) => connection.end(() => resolve())),
  }
}
