import { getEventListeners } from 'node:events'
import { Socket } from 'node:net'
import type { SqlClient } from './sql-client.js'
import { until } from './until.js'

const unhandled: unknown[] = []

/** How long pending locks and connections may take to end, in milliseconds. */
const PATIENCE = 4_000

const note = (reason: unknown): void => void unhandled.push(reason)

/**
 * Registers the listener again for each file: mocha ignores unhandled rejections, and a worker of a parallel run
 * removes all listeners after each file.
 */
export function watchRejections(): void {
  if (!process.listeners('unhandledRejection').includes(note)) process.on('unhandledRejection', note)
}

/** Fails for promises that were rejected without a handler since the last call. */
export async function expectNoUnhandledRejections(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve)) // Node.js reports them after the microtasks
  const [first] = unhandled.splice(0)
  if (first !== undefined) throw new Error(`Unhandled rejection: ${text(first)}`, { cause: first })
}

/** Expects that no connection of the database holds a named lock or waits for one. */
export async function expectNoLocks(outsider: SqlClient, database: string): Promise<void> {
  await expectNone('named locks on the server', async () => {
    const locks = await outsider.userLocksOf(database)
    return locks.map(({ key, connectionId, status }) => `${key} (${status}, connection ${connectionId})`)
  })
}

/** Expects that no connection to the database is left. */
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

/** The numbers of timers and sockets that keep this process alive. */
export class Resources {
  readonly #timers = count('Timeout')
  readonly #sockets = count('TCPSocketWrap')

  /** Fails if there are more now than when this object was created. */
  async expectNoMore(within = PATIENCE): Promise<void> {
    await expectNone(
      'active timers and sockets of this process',
      () => {
        const timers = count('Timeout') - this.#timers
        const sockets = count('TCPSocketWrap') - this.#sockets
        return [
          ...(timers > 0 ? [`${timers} timers`] : []),
          ...(sockets > 0 ? [`${sockets} sockets, of these: ${openSockets()}`] : []),
        ]
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

/** All sockets of this process, for the message: Node.js does not say which ones are new. */
function openSockets(): string {
  const { _getActiveHandles: handles } = process as unknown as { _getActiveHandles?(): unknown[] }
  const sockets = (handles?.call(process) ?? []).filter((handle): handle is Socket => handle instanceof Socket)
  return sockets
    .map(({ localPort, remotePort, readyState }) => `${localPort} to ${remotePort} (${readyState})`)
    .join(', ')
}

function text(reason: unknown): string {
  return reason instanceof Error ? (reason.stack ?? reason.message) : String(reason)
}
