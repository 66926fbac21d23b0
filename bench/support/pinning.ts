import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import os from 'node:os'
import { promisify } from 'node:util'
import { childrenOf } from '../../dev/servers/process-tree.js'
import type { Observer } from './observer.js'

const execute = promisify(execFile)

/**
 * Puts the servers on one half of the cores and the benchmark on the other, as they are on different machines in
 * production. Otherwise the scheduler moves both onto one core and apart again, and a round trip takes half as long or
 * twice as long from one sample to the next.
 *
 * @returns The placement, or the reason why there is none.
 */
export async function pinApart(observer: Observer, otherServers: readonly number[]): Promise<string> {
  const cores = os.cpus().length
  if (cores < 2) return 'not pinned: one core only'
  const half = Math.floor(cores / 2)
  const serverCores = `0-${half - 1}`
  const ownCores = `${half}-${cores - 1}`
  try {
    const server = Number.parseInt(await readFile(await observer.pidFile(), 'utf8'), 10)
    // PostgreSQL has a process for each connection; later ones inherit the placement.
    for (const pid of [server, ...(await childrenOf(server)), ...otherServers]) await pin(pid, serverCores)
    await pin(process.pid, ownCores) // child processes inherit the placement
    return `servers on cores ${serverCores}, benchmark on cores ${ownCores}`
  } catch (error) {
    return `not pinned: ${(error as Error).message.split('\n', 1)[0]}`
  }
}

async function pin(pid: number, cores: string): Promise<void> {
  await execute('taskset', ['--all-tasks', '--cpu-list', '--pid', cores, String(pid)])
}
