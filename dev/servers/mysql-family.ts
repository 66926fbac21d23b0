import { existsSync } from 'node:fs'
import { readFile, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import type { Engine, ServerPlace, ServerProgram } from './engine.js'
import { identifyMysql } from './mysql-client.js'
import { run } from './run.js'
import { appLogin } from './server-types.js'

const createApp = `
CREATE DATABASE ${appLogin.database};
CREATE USER '${appLogin.username}'@'%' IDENTIFIED BY '${appLogin.password}';
GRANT ALL ON *.* TO '${appLogin.username}'@'%' WITH GRANT OPTION;
`

// With skip-name-resolve, a TCP connection does not match root@localhost.
const createRoot = `
CREATE USER 'root'@'127.0.0.1';
GRANT ALL ON *.* TO 'root'@'127.0.0.1' WITH GRANT OPTION;
`

/** Commits reach the kernel but not the disk: data survives a SIGKILL, not a power cut. In containers as well. */
export const mysqlFamilyArgs = [
  '--skip-log-bin',
  '--skip-name-resolve',
  '--max-connections=500',
  '--innodb-buffer-pool-size=64M',
  '--innodb-flush-log-at-trx-commit=2',
] as const

// Servers before 8.0 do not know every argument: with `loose` they go on without it.
const mysqlArgs = [...mysqlFamilyArgs, '--loose-innodb-redo-log-capacity=16M']
export const withoutXProtocol = '--loose-mysqlx=OFF'
const mariadbArgs = [...mysqlFamilyArgs, '--innodb-log-file-size=16M']

function placeArgs(program: ServerProgram, dataDir: string): string[] {
  const asRoot = process.getuid?.() === 0 ? ['--user=root'] : []
  return ['--no-defaults', ...program.locationArgs, ...asRoot, `--datadir=${dataDir}`]
}

function networkArgs({ folder, dataDir, port }: ServerPlace): string[] {
  return [
    '--bind-address=127.0.0.1',
    `--port=${port}`,
    `--socket=${path.join(folder, 'socket')}`,
    `--pid-file=${path.join(folder, 'pid')}`,
    `--general-log-file=${path.join(dataDir, 'general.log')}`,
  ]
}

/** MySQL refuses a database created with another setting. */
const initialArgs = (args: readonly string[]): readonly string[] =>
  args.filter((arg) => /^--lower[-_]case[-_]table[-_]names/.test(arg))

export const mysqlEngine: Engine = {
  initialArgs,
  async initialise(program, dataDir, log, args) {
    log(`Creating a fresh MySQL ${program.version} database`)
    const initFile = `${dataDir}.sql`
    await writeFile(initFile, createApp + createRoot)
    const initialise = ['--initialize-insecure', `--init-file=${initFile}`]
    await run([...program.command, ...placeArgs(program, dataDir), ...mysqlArgs, ...args, ...initialise])
    await rm(initFile)
    // The server creates its identity at its first start; the copies of this folder must not share one.
    await rm(path.join(dataDir, 'auto.cnf'), { force: true })
  },
  serverArgs: (program, place) => [
    ...placeArgs(program, place.dataDir),
    ...mysqlArgs,
    ...networkArgs(place),
    withoutXProtocol,
    '--secure-file-priv=NULL',
  ],
  portTaken: /Address already in use/i,
  identify: identifyMysql,
}

export const mariadbEngine: Engine = {
  async initialise(program, dataDir, log) {
    log(`Creating a fresh MariaDB ${program.version} database`)
    const sql = [
      'CREATE DATABASE mysql;',
      'USE mysql;',
      'SET @auth_root_socket=NULL;',
      'SET @skip_auth_anonymous=1;',
      ...(await Promise.all(mariadbSystemFiles(program.shareDir).map((file) => readFile(file, 'utf8')))),
      'FLUSH PRIVILEGES;', // bootstrap ignores the tables of users until this statement
      createApp, // root@127.0.0.1 exists already
    ]
    const bootstrap = ['--bootstrap', '--max-allowed-packet=8M', '--net-buffer-length=16K']
    await run([...program.command, ...placeArgs(program, dataDir), ...mariadbArgs, ...bootstrap], {
      input: sql.join('\n'),
    })
  },
  serverArgs: (program, place) => [...placeArgs(program, place.dataDir), ...mariadbArgs, ...networkArgs(place)],
  portTaken: /Address already in use/i,
  identify: identifyMysql,
}

/** The files were called mysql_… before MariaDB 11. */
function mariadbSystemFiles(shareDir: string | undefined): string[] {
  if (shareDir === undefined) throw new Error('MariaDB was found, but not the SQL files that create its system tables')
  const names = ['system_tables.sql', 'performance_tables.sql', 'system_tables_data.sql']
  const files = names.map((name) => {
    const newName = path.join(shareDir, `mariadb_${name}`)
    return existsSync(newName) ? newName : path.join(shareDir, `mysql_${name}`)
  })
  return [...files, path.join(shareDir, 'maria_add_gis_sp_bootstrap.sql')]
}
