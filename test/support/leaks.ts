import { getEventListeners } from 'node:events'
import type { SqlClient } from './sql-client.js'
import { until } from './until.js'

const unhandled: unknown[] = []

/** How long what is on its way may take to be gone, in milliseconds. */
const PATIENCE = 4_000

const note = (reason: unknown): void => void unhandled.push(reason)

/** mocha itself lets unhandled rejections pass; and a worker of a parallel run forgets all listeners after each of its files. */
export function watchRejections(): void {
  if (!process.listeners('unhandledRejection').includes(note)) process.on('unhandledRejection', note)
}

/** Fails for promises that were rejected since the last call and had nobody to see it. */
export async function expectNoUnhandledRejections(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve)) // node reports them after the microtasks
  const [first] = unhandled.splice(0)
  if (first !== undefined) throw new Error(`Unhandled rejection: ${text(first)}`, { cause: first })
}

/** No connection of the database holds a named lock or waits for one. */
export async function expectNoLocks(outsider: SqlClient, database: string): Promise<void> {
  await expectNone('named locks on the server', async () => {
    const locks = await outsider.userLocksOf(database)
    return locks.map(({ key, connectionId, status }) => `${key} (${status}, connection ${connectionId})`)
  })
}

/** Nobody is connected to the database any more. */
export async function expectNoConnections(outsider: SqlClient, database: string): Promise<void> {
  await expectNone('connections on the server', async () => {
    const connections = await outsider.connectionsOf(database)
    return connections.map(({ id, command, statement }) => `${id} (${command}: ${statement ?? 'idle'})`)
  })
}

export function expectNoListeners(signals: Iterable<AbortSignal>): void {
  for (const signal of signals) {
    const count = getEventListeners(signal, 'abort').length
    if (count > 0) throw new Error(`${count} listeners were left on a signal`)
  }
}

/** What keeps this process alive: timers and sockets, counted. */
export class Resources {
  readonly #timers = count('Timeout')
  readonly #sockets = count('TCPSocketWrap')

  /** Fails if there is more of it now than when this was made. */
  async expectNoMore(within = PATIENCE): Promise<void> {
    await expectNone(
      'active timers and sockets of this process',
      () => {
        const timers = count('Timeout') - this.#timers
        const sockets = count('TCPSocketWrap') - this.#sockets
        return [...(timers > 0 ? [`${timers} timers`] : []), ...(sockets > 0 ? [`${sockets} sockets`] : [])]
      },
      within,
    )
  }
}

async function expectNone(what: string, look: () => string[] | Promise<string[]>, within = PATIENCE): Promise<void> {
  let found: string[] = []
  await until(`no ${what}`, async () => (found = await look()).length === 0, { within }).catch((error: Error) => {
    throw new Error(`Left behind: ${what}: ${found.join(', ') || error.message}`)
  })
}

function count(resource: string): number {
  return process.getActiveResourcesInfo().filter((one) => one === resource).length
}

function text(reason: unknown): string {
  return reason instanceof Error ? (reason.stack ?? reason.message) : String(reason)
}
