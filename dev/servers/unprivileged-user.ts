import { readFile } from 'node:fs/promises'
import type { SystemUser } from './run.js'

/** PostgreSQL refuses to run as root: somebody else, then, who exists already. Undefined if this is not root. */
export async function unprivilegedUser(): Promise<SystemUser | undefined> {
  if (process.getuid?.() !== 0) return undefined
  const users = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => line.split(':'))
  const fields = users.find(([name]) => name === 'postgres') ?? users.find(([name]) => name === 'nobody')
  if (!fields) throw new Error('PostgreSQL refuses to run as root, and there is no user postgres or nobody')
  return { uid: Number(fields[2]), gid: Number(fields[3]) }
}
