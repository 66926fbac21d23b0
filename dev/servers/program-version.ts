import { run, type Command } from './run.js'

/** `mysqld  Ver 9.7.4-2 for Linux on x86_64` → `9.7.4-2`, `postgres (PostgreSQL) 17.2` → `17.2` */
export async function programVersion(command: Command): Promise<string> {
  const output = await run([...command, '--version'])
  const version = /Ver (\S+)|\(PostgreSQL\) (\S+)/.exec(output)
  if (!version) throw new Error(`${command.at(-1)} --version printed: ${output}`)
  return version[1] ?? version[2] ?? ''
}
