import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { freePort } from '../../dev/servers/free-port.js'

/** A Redis started by the benchmark: loopback only, nothing on disk. */
export class LocalRedis {
  private constructor(
    readonly port: number,
    readonly version: string,
    readonly pid: number,
    readonly child: ChildProcess,
    readonly folder: string,
  ) {}

  /** Undefined without a `redis-server` on this machine. */
  static async start(): Promise<LocalRedis | undefined> {
    const port = await freePort()
    const folder = await mkdtemp(path.join(os.tmpdir(), 'named-lock-redis-'))
    const args = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', folder]
    const child = spawn('redis-server', args, { stdio: ['ignore', 'pipe', 'inherit'] })
    let version = ''
    const started = await new Promise<boolean>((resolve) => {
      child.once('error', () => resolve(false))
      child.once('exit', () => resolve(false))
      createInterface({ input: child.stdout }).on('line', (line) => {
        version ||= /version=([\d.]+)/i.exec(line)?.[1] ?? ''
        if (/ready to accept connections/i.test(line)) resolve(true)
      })
    })
    if (started && child.pid !== undefined) return new LocalRedis(port, version, child.pid, child, folder)
    await rm(folder, { recursive: true, force: true })
    return undefined
  }

  async stop(): Promise<void> {
    const gone = once(this.child, 'exit')
    this.child.kill('SIGKILL')
    await gone
    await rm(this.folder, { recursive: true, force: true })
  }
}
