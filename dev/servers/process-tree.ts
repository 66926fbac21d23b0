import { readFile, readdir } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { run } from './run.js'

interface ProcessEntry {
  readonly pid: number
  readonly parent: number
}

/** The processes that this one started (PostgreSQL has one per connection; they outlive a SIGKILL of their parent). */
export async function childrenOf(parent: number): Promise<number[]> {
  return (await livingProcesses()).filter((entry) => entry.parent === parent).map(({ pid }) => pid)
}

/** False if the process is already gone. */
export function signal(pid: number, name: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, name)
  } catch {
    return false
  }
}

export async function untilGone(pids: readonly number[]): Promise<void> {
  const left = async () => (await livingProcesses()).filter(({ pid }) => pids.includes(pid)).length
  while (pids.length > 0 && (await left()) > 0) await sleep(5)
}

/** Zombies are excluded: they hold no resources, but process 1 of a container may take seconds to reap them. */
async function livingProcesses(): Promise<ProcessEntry[]> {
  const lines = process.platform === 'linux' ? await linesFromProc() : await linesFromPs()
  return lines.flatMap((line) => {
    const [pid, parent, state] = line.trim().split(/\s+/)
    return state === undefined || state.startsWith('Z') ? [] : [{ pid: Number(pid), parent: Number(parent) }]
  })
}

/** Minimal containers have no `ps`. */
async function linesFromProc(): Promise<string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  return Promise.all(
    pids.map(async (pid) => {
      const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
      // "pid (name, which may hold anything) state parent …"
      const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
      return stat && `${pid} ${parent} ${state}`
    }),
  )
}

async function linesFromPs(): Promise<string[]> {
  return (await run(['ps', '-A', '-o', 'pid=,ppid=,state='])).split('\n')
}
