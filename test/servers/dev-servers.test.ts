import { expect } from 'chai'
import { createConnection, type Connection } from 'mysql2/promise'
import { existsSync } from 'node:fs'
import { connect } from 'node:net'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from 'pg'
import { startServer, type RunningServer } from '../../dev/servers/index.js'
import { finishChildren, startChild } from '../support/child.js'
import { rejection } from '../support/rejection.js'
import { until } from '../support/until.js'

const versions = { mysql: /^[89]\.\d+\.\d+/, mariadb: /^1\d\.\d+\.\d+-MariaDB/i }
const ownMachine = ['binary', 'packages'] as const
/** The first run of all downloads the server. */
const firstStart = 300_000

for (const kind of ['mysql', 'mariadb'] as const) {
  describe(`development servers: ${kind}`, () => {
    let server: RunningServer

    before(async function () {
      this.timeout(firstStart)
      server = await startServer(kind, { via: ['docker', ...ownMachine] })
    })

    after(() => server?.stop())
    afterEach(finishChildren)

    it('answers SQL, to a user with all rights', async () => {
      await connected(server, async (connection) => {
        expect(await ask(connection, 'SELECT VERSION()'))
          .to.match(versions[kind])
          .and.to.equal(server.version)
        expect(await ask(connection, 'SELECT DATABASE()')).to.equal('app')
        await connection.query('CREATE DATABASE another')
        await connection.query('SELECT * FROM performance_schema.threads LIMIT 1')
        const id = Number(await ask(connection, 'SELECT CONNECTION_ID()'))
        const root = await createConnection({ host: server.host, port: server.port, user: 'root' })
        const rootId = Number(await ask(root, 'SELECT CONNECTION_ID()'))
        await connection.query(`KILL ${rootId}`)
        await until('the end of the killed connection', async () => {
          const ids = await connection.query<any[]>(`SELECT id FROM information_schema.processlist WHERE id <> ${id}`)
          return ids[0].every((row) => Number(row.id) !== rootId)
        })
        root.destroy()
      })
    })

    it('answers nothing while it is frozen, and goes on when it is thawed', async () => {
      await connected(server, async (connection) => {
        await server.freeze()
        const answer = ask(connection, 'SELECT 42')
        const inFrost = await Promise.race([answer, sleep(300, 'no answer')])
        await server.thaw()
        expect(inFrost).to.equal('no answer')
        expect(await answer).to.equal(42)
      })
    })

    it('has its port and its data again after a kill and a restart', async () => {
      const { port } = server
      await connected(server, async (connection) => {
        await connection.query('CREATE TABLE kept (id INT PRIMARY KEY)')
        await connection.query('INSERT INTO kept VALUES (7)')
        await server.kill()
      })
      expect(await accepts(port)).to.equal(false)
      await server.restart()
      expect(server.port).to.equal(port)
      await connected(server, async (connection) => {
        expect(await ask(connection, 'SELECT id FROM kept')).to.equal(7)
      })
    })

    for (const state of ['running', 'frozen']) {
      it(`restarts when it is ${state}`, async () => {
        await connected(server, async (connection) => {
          expect(await ask(connection, "SELECT GET_LOCK('old', 0)")).to.equal(1)
          if (state === 'frozen') await server.freeze()
          await server.restart()
          await connected(server, async (other) => {
            expect(await ask(other, "SELECT IS_FREE_LOCK('old')")).to.equal(1)
          })
        })
      })
    }

    it('starts two at once, one apart from the other, and leaves nothing of them', async () => {
      const both = await Promise.all([1, 2].map(() => startServer(kind, { via: ownMachine })))
      const [one, two] = both as [RunningServer, RunningServer]
      try {
        expect(one.port).not.to.equal(two.port)
        await connected(one, (connection) => connection.query('CREATE TABLE only_here (id INT)'))
        const [tables] = await connected(two, (connection) => connection.query<any[]>('SHOW TABLES'))
        expect(tables).to.deep.equal([])
        expect(existsSync(folderOf(one))).to.equal(true)
      } finally {
        await Promise.all(both.map((each) => each.stop()))
      }
      for (const each of both) {
        expect(existsSync(folderOf(each))).to.equal(false)
        expect(await accepts(each.port)).to.equal(false)
      }
      await one.stop() // once more, to no effect
      expect((await rejection(one.restart())).message).to.contain('was stopped')
    })

    it('hands arguments to the server, and tells what it said when it refuses them', async () => {
      await using small = await startServer(kind, { via: ownMachine, args: ['--max-connections=33'] })
      expect(await connected(small, (connection) => ask(connection, 'SELECT @@max_connections'))).to.equal(33)
      const refused = startServer(kind, { via: ownMachine, args: ['--no-such-thing'], log: () => undefined })
      expect((await rejection(refused)).message).to.match(/did not start[^]*no-such-thing/)
    })

    for (const freeze of [false, true]) {
      it(`ends with its owner, even with one that is killed${freeze ? ' while the server is frozen' : ''}`, async () => {
        const child = startChild('own-server.ts', { kind, freeze })
        const { port, dataDir } = (await child.next('started')) as unknown as { port: number; dataDir: string }
        expect(await accepts(port)).to.equal(true)
        await child.kill()
        await until('the end of the server', async () => !(await accepts(port)))
        await until('the end of its folder', () => !existsSync(path.dirname(dataDir)))
      })
    }
  })
}

describe('development servers: postgres', () => {
  afterEach(finishChildren)

  it('answers SQL, freezes with its open connections, and has its data again after a kill', async function () {
    this.timeout(firstStart)
    await using server = await startServer('postgres', { via: ['docker', ...ownMachine] })
    const client = await pgClient(server)
    expect(await pgAsk(client, 'SHOW server_version')).to.equal(server.version)
    expect(await pgAsk(client, 'SELECT rolsuper FROM pg_roles WHERE rolname = current_user')).to.equal(true)
    await client.query('CREATE TABLE kept AS SELECT 7 AS id')
    await server.freeze()
    const answer = pgAsk(client, 'SELECT 42')
    const inFrost = await Promise.race([answer, sleep(300, 'no answer')])
    await server.thaw()
    expect(inFrost).to.equal('no answer')
    expect(await answer).to.equal(42)
    const { port } = server
    await server.kill()
    expect(await accepts(port)).to.equal(false)
    await server.restart()
    expect(server.port).to.equal(port)
    const later = await pgClient(server)
    expect(await pgAsk(later, 'SELECT id FROM kept')).to.equal(7)
    await later.end()
  })

  it('comes out of packages where nothing is installed, twice at once, and leaves nothing behind', async function () {
    this.timeout(firstStart)
    if (!existsSync('/usr/bin/apt-get')) {
      this.test!.title += ' (needs Debian or Ubuntu)'
      this.skip()
    }
    const args = ['-c', 'max_connections=33']
    const both = await Promise.all([1, 2].map(() => startServer('postgres', { via: ['packages'], args })))
    try {
      const [one, two] = await Promise.all(both.map(pgClient))
      expect(both[0]!.port).not.to.equal(both[1]!.port)
      expect(both[0]!.origin).to.equal('packages')
      await one!.query('CREATE TABLE only_here (id INT)')
      expect(await pgAsk(two!, "SELECT to_regclass('only_here')")).to.equal(null)
      expect(await pgAsk(two!, 'SHOW max_connections')).to.equal('33')
      // What its own library is needed for: names of time zones, collations.
      expect(await pgAsk(two!, "SELECT 'a' < 'B' COLLATE \"en-x-icu\"")).to.equal(true)
      await Promise.all([one!.end(), two!.end()])
    } finally {
      await Promise.all(both.map((each) => each.stop()))
    }
    for (const each of both) {
      expect(existsSync(folderOf(each))).to.equal(false)
      expect(await accepts(each.port)).to.equal(false)
    }
    const refused = startServer('postgres', { via: ['packages'], args: ['--no_such_thing=1'], log: () => undefined })
    expect((await rejection(refused)).message).to.match(/did not start[^]*no_such_thing/)
  })

  for (const freeze of [false, true]) {
    it(`ends with its owner, even with one that is killed${freeze ? ' while the server is frozen' : ''}`, async () => {
      const child = startChild('own-server.ts', { kind: 'postgres', freeze })
      const { port, dataDir } = (await child.next('started')) as unknown as { port: number; dataDir: string }
      expect(await accepts(port)).to.equal(true)
      await child.kill()
      await until('the end of the server', async () => !(await accepts(port)))
      await until('the end of its folder', () => !existsSync(path.dirname(dataDir)))
    })
  }
})

describe('development servers: an address in the environment', () => {
  const variable = 'NAMED_LOCK_MARIADB_URL'
  const original = process.env[variable]

  afterEach(() => {
    if (original === undefined) delete process.env[variable]
    else process.env[variable] = original
  })

  it('is used first, and the server is left alone', async () => {
    await using real = await startServer('mariadb', { via: ownMachine })
    process.env[variable] = real.url
    const server = await startServer('mariadb')
    expect(server).to.include({ origin: 'environment', canControl: false, port: real.port, version: real.version })
    for (const deed of ['kill', 'freeze', 'thaw', 'restart'] as const) {
      expect((await rejection(server[deed]())).message).to.contain(`The server of ${variable} was not started here`)
    }
    await server.stop()
    expect(await accepts(real.port)).to.equal(true)
  })

  it('is not passed over when no server answers there or when it is none', async () => {
    process.env[variable] = 'mysql://app:app@127.0.0.1:1/app'
    expect((await rejection(startServer('mariadb'))).message).to.contain('no server answers at 127.0.0.1:1')
    process.env[variable] = 'localhost'
    const { message } = await rejection(startServer('mariadb'))
    expect(message).to.contain('should look like mysql://app:app@127.0.0.1:<port>/app')
  })

  it('is named among the ways out when no way leads to a server', async () => {
    delete process.env[variable]
    const { message } = await rejection(startServer('mariadb', { via: ['environment'] }))
    expect(message).to.contain(variable).and.to.contain('Docker').and.to.contain('environment: ')
  })
})

async function connected<T>(server: RunningServer, work: (connection: Connection) => Promise<T>): Promise<T> {
  const connection = await createConnection(server.url)
  connection.on('error', () => undefined) // servers are killed here
  try {
    return await work(connection)
  } finally {
    connection.destroy()
  }
}

async function pgClient(server: RunningServer): Promise<Client> {
  const client = new Client(server.url)
  client.on('error', () => undefined) // servers are killed here
  await client.connect()
  return client
}

/** The first column of the first row. */
async function pgAsk(client: Client, sql: string): Promise<unknown> {
  return Object.values((await client.query(sql)).rows[0] as object)[0]
}

/** The first column of the first row. */
async function ask(connection: Connection, sql: string): Promise<unknown> {
  const [rows] = await connection.query<any[]>({ sql, rowsAsArray: true })
  return rows[0][0]
}

function folderOf(server: RunningServer): string {
  return path.dirname(server.dataDir ?? '')
}

/** Whether the port is in use. A frozen server uses it, too: the system accepts for it, up to a number. */
function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1', timeout: 1000 })
    const settle = (answer: boolean) => {
      socket.destroy()
      resolve(answer)
    }
    socket.once('connect', () => settle(true))
    socket.once('timeout', () => settle(true))
    socket.once('error', () => settle(false))
  })
}
