import { randomInt } from 'node:crypto'
import { createServer } from 'node:net'

/**
 * A loopback port that is free now, below the range that systems use for outgoing connections. A server that is killed
 * and restarted must get its port again, even if clients connect meanwhile.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(20_000, 32_000)
    if (await isFree(port)) return port
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer()
    probe.once('error', () => resolve(false))
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)))
  })
}
