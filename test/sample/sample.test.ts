import { expect } from 'chai'
import { after, afterEach, before, describe, it } from 'mocha'
import { connect } from 'node:net'
import { DataSource } from 'typeorm'
import { NamedLockService } from '../../src/index.js'
import { Program, type ProgramEnd } from '../support/program.js'
import { randomName } from '../support/random-name.js'
import { connectRoot, dialectKinds, mysqlKinds, sharedServer } from '../support/servers.js'
import type { SqlClient } from '../support/sql-client.js'
import { until } from '../support/until.js'

const kind = mysqlKinds[0]!
/** The kinds whose own servers the sample starts here. */
const [oneKind, otherKind] = [mysqlKinds.at(-1)!, dialectKinds.at(-1)!]

describe('the sample with --once', function () {
  this.timeout(180_000)

  const database = randomName('sample')
  let root: SqlClient
  let url: string
  let program: Program | undefined

  before(async function () {
    this.timeout(600_000)
    const server = new URL((await sharedServer(kind)).url)
    server.pathname = database
    url = server.href
    root = await connectRoot(kind)
    await root.query(`CREATE DATABASE ${database}`)
    await root.query(`CREATE TABLE ${database}.precious (id INT)`)
  })

  afterEach(async () => {
    program?.send('SIGKILL')
    await program?.ended
    await until('no connections are left', async () => (await root.connectionsOf(database)).length === 0)
  })

  after(async () => {
    await root.query(`DROP DATABASE ${database}`)
    await root.end()
  })

  function start(...args: string[]): Program {
    program = new Program('sample-app/main.ts', ['--once', ...args])
    return program
  }

  function run(...args: string[]): Promise<ProgramEnd> {
    return start(...args).ended
  }

  async function tables(): Promise<unknown[]> {
    const rows = await root.query(`SHOW TABLES FROM ${database}`)
    return rows.flatMap((row) => Object.values(row as object) as unknown[])
  }

  it('oversells without locks and is exact with them, and leaves nothing in the database', async () => {
    const { code, stdout, stderr } = await run('--url', url, '--orders', '80')

    expect(stderr).to.equal('')
    expect(code, stdout).to.equal(0)
    const [without, withLock] = rowsOf(stdout)
    expect(without).to.include({ label: 'without lock' })
    expect(without!.all.oversold).to.be.above(0)
    expect(without!.all.duplicates).to.be.above(0)
    expect(withLock).to.include({ label: 'with lock' })
    expect(withLock!.all).to.include({
      sold: 40,
      soldOut: 40,
      oversold: 0,
      duplicates: 0,
      settled: 40,
      settledTwice: 0,
    })
    expect(withLock!.all.waited).to.be.above(0)
    expect(withLock!.replicas).to.have.length(2)
    for (const replica of withLock!.replicas) expect(replica.sold + replica.soldOut).to.equal(40)
    const [problem, solution, verdict] = stdout.trimEnd().split('\n').slice(-3)
    expect(problem).to.match(/^Without locks, \d+ tickets were sold for 40 seats: \d+ double bookings, /)
    expect(solution).to.match(/^With @WithNamedLock \(2 processes\): 40 tickets for 40 seats, /)
    const counted =
      /^Verdict: two replicas were inside the same lock at once (\d+) times without locks, and never with them, in (\d+) entries\.$/
    const [overlaps, entries] = counted.exec(verdict!)!.slice(1).map(Number)
    expect(overlaps).to.be.above(0)
    expect(entries).to.be.above(80) // a sale and a payment for each of 40 tickets, and the buyers that came too late
    expect(await tables()).to.deep.equal(['precious'])
  })

  it('fails when the locks do not reach beyond the process', async () => {
    const { code, stderr } = await run('--url', url, '--orders', '80', '--broken-lock')

    expect(code).to.equal(1)
    expect(stderr).to.match(/^With locks, two replicas were inside one lock at once \d+ times\.$/m)
    expect(stderr).to.match(/^With locks, \d+ tickets were oversold\.$/m)
    expect(stderr).to.not.include('    at ')
    expect(await tables()).to.deep.equal(['precious'])
  })

  it('runs more replicas, and reports that one order shows no difference', async () => {
    const { code, stdout, stderr } = await run('--server', oneKind, '--orders', '1', '--replicas', '3')

    expect(code).to.equal(1)
    expect(stderr).to.match(/^Nothing went wrong without locks/m)
    expect(stdout.match(/twice the orders/g)).to.have.length(2)
    expect(rowsOf(stdout)[1]!.replicas).to.have.length(3)
  })

  it('explains a wrong URL, without a stack trace and without the password', async () => {
    const wrong: [url: string, message: RegExp][] = [
      ['nonsense', /^This is not a database URL\./],
      ['oracle://me:secret@127.0.0.1/db', /^The sample needs MySQL, MariaDB or PostgreSQL, not oracle:/],
      ['mysql://me:secret@127.0.0.1:3306', /^The URL contains no database name\./],
      ['mysql://me:secret@127.0.0.1:1/db', /^Cannot connect to mysql:\/\/127\.0\.0\.1:1\/db: .*ECONNREFUSED/],
      ['postgres://me:secret@127.0.0.1:1/db', /^Cannot connect to postgres:\/\/127\.0\.0\.1:1\/db: .*ECONNREFUSED/],
      [url.replace(database, 'no_such_database'), /^Cannot connect to .*no_such_database/],
    ]
    for (const [address, message] of wrong) {
      const { code, stderr } = await run('--url', address)
      expect(code).to.equal(1)
      expect(stderr).to.match(message)
      expect(stderr).to.not.include('    at ')
      expect(stderr).to.not.include('secret')
    }
  })

  it('does not run twice at a time on one database', async () => {
    const dataSource = await new DataSource({ type: 'mysql', url }).initialize()
    const locks = NamedLockService.for(dataSource)
    try {
      await locks.withLock('named-lock-sample', async () => {
        const { code, stderr } = await run('--url', url)
        expect(code).to.equal(1)
        expect(stderr).to.equal('The sample is already running on this database. Wait until it has ended.\n')
      })
    } finally {
      await locks.close()
      await dataSource.destroy()
    }
  })

  it('cleans up after Ctrl-C', async () => {
    const sample = start('--url', url, '--orders', '1000')
    await until('customers are served', someSeatsTaken, { within: 90_000 })
    sample.send('SIGINT')

    const { code, stderr } = await sample.ended
    expect(stderr).to.equal('Interrupted.\n')
    expect(code).to.equal(130)
    expect(await tables()).to.deep.equal(['precious'])
  })

  it('fails when a replica dies', async function () {
    if (process.platform !== 'linux') this.skip()
    const sample = start('--url', url, '--orders', '1000')
    await until('customers are served', someSeatsTaken, { within: 90_000 })
    const [first] = sample.children()
    process.kill(first!, 'SIGKILL')

    const { code, stderr } = await sample.ended
    expect(stderr).to.match(/^Replica \d ended by SIGKILL in the middle of the run\.$/m)
    expect(code).to.equal(1)
    expect(await tables()).to.deep.equal(['precious'])
  })

  it('starts a server of its own, and ends it', async () => {
    const { code, stdout } = await run('--server', otherKind, '--orders', '80')

    expect(code, stdout).to.equal(0)
    const port = Number(/^\S+ \S.* on 127\.0\.0\.1:(\d+)$/m.exec(stdout)?.[1])
    await until('the server is gone', () => refuses(port))
  })

  async function someSeatsTaken(): Promise<boolean> {
    return Number(await root.value(`SELECT COUNT(*) FROM ${database}.named_lock_sample_seat`)) > 0
  }
})

interface Row {
  sold: number
  soldOut: number
  oversold: number
  duplicates: number
  settled: number
  settledTwice: number
  waited: number
}

interface RunRows {
  label: string
  replicas: Row[]
  all: Row
}

/** The runs in the table that the sample prints. */
function rowsOf(stdout: string): RunRows[] {
  const cells = stdout
    .split('\n')
    .filter((line) => line.startsWith('│'))
    .map((line) =>
      line
        .split('│')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    )
  const runs: RunRows[] = []
  let replicas: Row[] = []
  let label = ''
  for (const [name, replica, ...figures] of cells) {
    if (name !== '') label = name!
    if (!/^(\d+|all)$/.test(replica!)) continue
    const [sold, soldOut, oversold, duplicates, settled, settledTwice, waited] = figures.map(Number)
    const row = { sold, soldOut, oversold, duplicates, settled, settledTwice, waited } as Row
    if (replica === 'all') {
      runs.push({ label, replicas, all: row })
      replicas = []
    } else replicas.push(row)
  }
  return runs
}

function refuses(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => (socket.destroy(), resolve(false)))
    socket.once('error', () => resolve(true))
  })
}
