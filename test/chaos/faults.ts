import { setTimeout as sleep } from 'node:timers/promises'
import type { Conformance } from '../support/conformance.js'

export function shuffled<T>(all: readonly T[]): T[] {
  return all
    .map((one) => ({ one, order: Math.random() }))
    .sort((a, b) => a.order - b.order)
    .map(({ one }) => one)
}

/** Three volleys at connections of the test's database, whatever they are doing. */
export async function killConnections({ outsider, database }: Conformance, how: 'kill' | 'cancel'): Promise<void> {
  for (let i = 0; i < 3; i++) {
    const all = await outsider.connectionsOf(database)
    for (const { id } of shuffled(all).slice(0, 6)) await outsider[how](id).catch(() => undefined)
    await sleep(50)
  }
}

/** Ends a connection that holds a lock or waits for one. */
export async function killLockConnection({ outsider, database }: Conformance): Promise<void> {
  const [lock] = shuffled(await outsider.userLocksOf(database))
  // It may have ended by itself meanwhile.
  if (lock) await outsider.kill(lock.connectionId).catch(() => undefined)
}

/** SIGKILL to the server, which comes back with what was committed. */
export async function restartServer(ctx: Conformance): Promise<void> {
  await ctx.server.restart()
  await ctx.reconnectOutsider()
}
