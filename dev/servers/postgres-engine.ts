import path from 'node:path'
import { Client } from 'pg'
import type { Engine } from './engine.js'
import { run } from './run.js'
import { appLogin } from './server-types.js'

const { username, password, database } = appLogin

/** WAL reaches the kernel but not the disk: data survives a SIGKILL, not a power cut. In containers as well. */
export const postgresArgs = ['fsync=off', 'full_page_writes=off', 'max_connections=200'].flatMap((line) => ['-c', line])

export const postgresEngine: Engine = {
  async initialise(program, dataDir, log) {
    log(`Creating a fresh PostgreSQL ${program.version} database`)
    const { env, user } = program
    const server = program.command.at(-1) ?? ''
    const options = { env, user, cwd: path.dirname(dataDir) }
    const login = ['--username=postgres', '--auth=trust', '--encoding=UTF8', '--locale=C', '--no-sync']
    await run([path.join(path.dirname(server), 'initdb'), `--pgdata=${dataDir}`, ...login], options)
    const input = [
      `CREATE ROLE ${username} SUPERUSER LOGIN PASSWORD '${password}'`,
      `CREATE DATABASE ${database} OWNER ${username}`,
    ].join('\n')
    await run([...program.command, '--single', '-D', dataDir, 'postgres'], { ...options, input })
  },
  serverArgs: (_program, { dataDir, folder, port }) => [
    ...['-D', dataDir, '-k', folder, '-h', '127.0.0.1', '-p', String(port)],
    ...postgresArgs,
  ],
  portTaken: /Address already in use/i,
  async identify(address) {
    const client = new Client({
      host: address.host,
      port: address.port,
      user: address.username,
      password: address.password,
      database: address.database,
      connectionTimeoutMillis: 2000,
    })
    // A server that disappears between two statements must not end this process.
    client.on('error', () => undefined)
    await client.connect()
    try {
      // Without the privilege, the view returns no row, where SHOW would fail.
      const dataDir = `(SELECT setting FROM pg_settings WHERE name = 'data_directory')`
      const { rows } = await client.query(
        `SELECT current_setting('server_version') AS version, ${dataDir} AS "dataDir"`,
      )
      return { version: String(rows[0].version), dataDir: (rows[0].dataDir as string | null) ?? undefined }
    } finally {
      await client.end()
    }
  },
}
