import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'

const execute = promisify(execFile)
const root = path.join(__dirname, '../..')

async function packageVersion(name: string): Promise<string> {
  const text = await readFile(path.join(root, 'node_modules', name, 'package.json'), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}

/** The measured commit, with `+` if src/ or bench/ differ from it. */
async function commit(): Promise<string> {
  try {
    const head = await execute('git', ['rev-parse', '--short', 'HEAD'], { cwd: root })
    const changes = await execute('git', ['status', '--porcelain', '--', 'src', 'bench'], { cwd: root })
    return head.stdout.trim() + (changes.stdout.trim() === '' ? '' : '+')
  } catch {
    return 'unknown'
  }
}

/** The measured commit, and the machine. */
export async function describeEnvironment() {
  const [typeorm, mysql2, pg, redlock, ioredis] = await Promise.all(
    ['typeorm', 'mysql2', 'pg', 'redlock', 'ioredis'].map(packageVersion),
  )
  const cpus = os.cpus()
  return {
    versions: { library: await commit(), node: process.version, typeorm, mysql2, pg, redlock, ioredis },
    machine: {
      cpus: cpus.length,
      model: cpus[0]?.model.trim() ?? 'unknown',
      memoryGiB: Math.round(os.totalmem() / 2 ** 30),
      system: `${os.type()} ${os.release()} ${os.arch()}`,
    },
  }
}
