import { Redis } from 'ioredis'
import Redlock from 'redlock'
import type { Subject } from './subject.js'

/** redlock on one Redis on this machine, with its default settings. */
export async function openRedlock(port: number): Promise<Subject> {
  const client = new Redis({ host: '127.0.0.1', port })
  const redlock = new Redlock([client])
  return {
    async withLock(name, work) {
      const lock = await redlock.acquire([name], 30_000)
      try {
        return await work()
      } finally {
        await lock.release()
      }
    },
    async [Symbol.asyncDispose]() {
      await client.quit()
    },
  }
}
