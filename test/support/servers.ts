import { after } from 'mocha'
import { startServer, type RunningServer } from '../../dev/servers/index.js'
import { SqlClient } from './sql-client.js'

export type ServerKind = 'mysql' | 'mariadb' | 'postgres'

/** The kinds of server of this run: NAMED_LOCK_TEST_SERVERS=mysql,mariadb,postgres,memory, or fewer. */
const wanted = (process.env.NAMED_LOCK_TEST_SERVERS ?? 'mysql,mariadb,memory').split(',').map((kind) => kind.trim())

export const serverKinds: readonly ServerKind[] = parseKinds(wanted.filter((kind) => kind !== 'memory'))

/**
 * The kinds for all tests of the dialects, and for the strongest of the others: PostgreSQL is included. The remaining
 * tests run on it only on request, because on every server they would take too long.
 */
export const dialectKinds: readonly ServerKind[] = process.env.NAMED_LOCK_TEST_SERVERS
  ? serverKinds
  : [...serverKinds, 'postgres']

/**
 * One kind of each family, for what lies above the dialects, such as the command line and chaos runs of features that other tests run on
 * every server: MariaDB is included on request.
 */
export const familyKinds: readonly ServerKind[] = process.env.NAMED_LOCK_TEST_SERVERS
  ? serverKinds
  : dialectKinds.filter((kind) => kind !== 'mariadb')

/** The requested kinds of MySQL's family; MySQL if none is requested. */
export const mysqlKinds: readonly ServerKind[] = serverKinds.some((kind) => kind !== 'postgres')
  ? serverKinds.filter((kind) => kind !== 'postgres')
  : ['mysql']

/** Whether the conformance tests also run on the in-memory locks of `typeorm-named-lock/testing`. */
export const isMemoryWanted = wanted.includes('memory')

/**
 * The leak check of the tests needs the table of locks, which MySQL 5.7 does not fill by default. MariaDB has its
 * performance_schema off.
 */
const metadataInstrument = '--performance-schema-instrument=wait/lock/metadata/sql/mdl=ON'
const extraArgs: Record<ServerKind, readonly string[]> = {
  mysql: [metadataInstrument],
  postgres: [],
  mariadb: ['--performance-schema=ON', metadataInstrument],
}

const started = new Map<ServerKind, Promise<RunningServer>>()

/** The server of that kind that all tests of this run share. The first call starts it, which may take minutes. */
export function sharedServer(kind: ServerKind): Promise<RunningServer> {
  let server = started.get(kind)
  if (!server) {
    server = startServer(kind, { args: extraArgs[kind] })
    started.set(kind, server)
  }
  return server
}

/** A server for a single file, which that file stops. It can be killed, frozen and restarted. */
export function ownServer(kind: ServerKind, args: readonly string[] = []): Promise<RunningServer> {
  return startServer(kind, { args: [...extraArgs[kind], ...args], via: ['docker', 'binary', 'packages'] })
}

/** A connection with all privileges, outside of all databases. */
export async function connectRoot(kind: ServerKind): Promise<SqlClient> {
  return SqlClient.connect(await sharedServer(kind))
}

// Loaded by a test file outside of its describe, this is a hook of the whole run. A worker of a parallel run has such
// hooks for each of its files. It keeps its servers until it ends: they end with the process that started them.
if (process.env.MOCHA_WORKER_ID === undefined) {
  after('stop the shared servers', async function () {
    this.timeout(60_000)
    const stopped = await Promise.allSettled([...started.values()].map(async (server) => (await server).stop()))
    for (const result of stopped) if (result.status === 'rejected') throw result.reason
  })
}

function parseKinds(kinds: readonly string[]): ServerKind[] {
  return kinds.map((kind) => {
    if (kind !== 'mysql' && kind !== 'mariadb' && kind !== 'postgres') {
      throw new Error(
        `NAMED_LOCK_TEST_SERVERS: '${kind}' is no kind of server; use mysql, mariadb, postgres, memory or several of them.`,
      )
    }
    return kind
  })
}
