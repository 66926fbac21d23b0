import { readFile } from 'node:fs/promises'
import type { SystemUser } from './run.js'

/** An existing user that can run PostgreSQL, which refuses to run as root. Undefined if this process is not root. */
export async function unprivilegedUser(): Promise<SystemUser | undefined> {
  if (process.getuid?.() !== 0) return undefined
  const users = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => line.split(':'))
  const fields = users.find(([name]) => name === 'postgres') ?? users.find(([name]) => name === 'nobody')
  if (!fields)
    throw new Error(
      'PostgreSQL refuses to run as root, and this machine has neither of the users postgres and `nobody`',
    )
  return { uid: Number(fields[2]), gid: Number(fields[3]) }
}
