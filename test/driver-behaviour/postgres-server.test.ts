import { expect } from 'chai'
import { Client } from 'pg'
import { BATCH_STATEMENT, batchText } from '../../src/dialect/postgres/postgres-expressions.js'
import { randomName } from '../support/random-name.js'
import { dialectKinds, sharedServer } from '../support/servers.js'
import { settlesWithin, until } from '../support/until.js'

/** What the dialect relies on, and what it guards against. */
if (dialectKinds.includes('postgres')) {
  describe('PostgreSQL', () => {
    const database = randomName('facts')
    const clients: Client[] = []
    let one: Client
    let other: Client

    async function connect(to = database): Promise<Client> {
      const { host, port, username: user, password } = await sharedServer('postgres')
      const client = new Client({ host, port, user, password, database: to })
      client.on('error', () => undefined) // the server ends some of them
      await client.connect()
      clients.push(client)
      return client
    }

    async function value(client: Client, sql: string): Promise<unknown> {
      const { rows } = await client.query({ text: sql, rowMode: 'array' })
      return (rows[0] as unknown[] | undefined)?.[0]
    }

    const take = (client: Client, key: number): Promise<unknown> => value(client, `SELECT pg_try_advisory_lock(${key})`)
    const give = (client: Client, key: number): Promise<unknown> => value(client, `SELECT pg_advisory_unlock(${key})`)
    const heldBy = (client: Client): Promise<unknown> =>
      value(client, `SELECT count(*)::int FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()`)

    before('have a database', async function () {
      this.timeout(600_000)
      const admin = await connect('app')
      await admin.query(`CREATE DATABASE ${database}`)
    })

    beforeEach(async () => {
      one = await connect()
      other = await connect()
    })

    afterEach(async () => {
      for (const client of clients.splice(1)) await client.end().catch(() => undefined)
    })

    after(async () => {
      await clients[0]?.query(`DROP DATABASE ${database} WITH (FORCE)`)
      await clients[0]?.end()
    })

    it('counts how often a session has taken a lock', async () => {
      expect(await take(one, 1)).to.equal(true)
      expect(await take(one, 1)).to.equal(true)
      await give(one, 1)
      expect(await take(other, 1)).to.equal(false)
      await give(one, 1)
      expect(await take(other, 1)).to.equal(true)
      expect(await give(one, 1)).to.equal(false)
    })

    it('has a space of keys for each database, and one for pairs', async () => {
      await take(one, 7)
      expect(await value(other, 'SELECT pg_try_advisory_lock(0, 7)')).to.equal(true)
      expect(await take(await connect('app'), 7)).to.equal(true)
    })

    it('takes and gives back in the order of a batch, and keeps what a failed one has done', async () => {
      for (const client of [one, other]) await client.query(BATCH_STATEMENT)
      await other.query(batchText(['t2']))
      expect(await value(one, batchText(['t1', 't2', 'g1', 't3', 'g9']))).to.equal('1,0,1,1,0')
      expect(await value(other, batchText(['t1', 't3']))).to.equal('1,0')
      const failing = one.query('SELECT pg_try_advisory_lock(4), 1 / (random() * 0)::int')
      expect(await failing.catch((error: { code: string }) => error.code)).to.equal('22012')
      expect(await heldBy(one), 'the locks 3 and 4').to.equal(2)
    })

    it('keeps a lock of the session when its savepoint or transaction is rolled back, and undoes a SET', async () => {
      await one.query('BEGIN')
      await one.query('SAVEPOINT here')
      await one.query('SELECT pg_advisory_lock(1), pg_advisory_xact_lock(2)')
      await one.query("SET idle_session_timeout = '77s'")
      await one.query('ROLLBACK TO SAVEPOINT here')
      expect(await heldBy(one), 'without the lock of the transaction').to.equal(1)
      expect(await value(one, "SELECT current_setting('idle_session_timeout')")).to.equal('0')
      await one.query('ROLLBACK')
      expect(await heldBy(one)).to.equal(1)
    })

    it('tells a time in words that depend on it, and in milliseconds in pg_settings', async () => {
      for (const [milliseconds, words] of [
        [30_000, '30s'],
        [1_500, '1500ms'],
        [120_000, '2min'],
      ] as const) {
        await one.query(`SET lock_timeout = ${milliseconds}`)
        expect(await value(one, "SELECT current_setting('lock_timeout')")).to.equal(words)
        expect(await value(one, "SELECT setting FROM pg_settings WHERE name = 'lock_timeout'")).to.equal(
          String(milliseconds),
        )
      }
    })

    it('ends an idle session with its locks, but not one inside of a transaction', async () => {
      for (const client of [one, other]) await client.query('SET idle_session_timeout = 500')
      await take(one, 1)
      await other.query('BEGIN')
      await take(other, 2)
      const watcher = await connect()
      await until('the end of the idle session', () => take(watcher, 1), { within: 15_000 })
      expect(await take(watcher, 2)).to.equal(false)
      await other.query('COMMIT')
    })

    it('may have granted a lock to a wait that ends with an error', async () => {
      let granted = 0
      for (let i = 0; i < 400 && granted === 0; i++) {
        await take(other, 1)
        const pid = await value(one, 'SELECT pg_backend_pid()')
        const waiting = one.query('SELECT pg_advisory_lock(1)').then(
          () => undefined,
          (error: { code: string }) => error.code,
        )
        // One statement, so that the cancel arrives as the lock does.
        await other.query(`SELECT pg_advisory_unlock(1), pg_cancel_backend(${String(pid)})`)
        const code = await waiting
        const isHeld = (await heldBy(one)) === 1
        if (code === '57014' && isHeld) granted++
        await one.query('SELECT pg_advisory_unlock_all()').catch(() => undefined) // the cancel may come now
        await one.query('SELECT pg_advisory_unlock_all()')
      }
      expect(granted, 'waits that were cancelled and granted').to.be.greaterThan(0)
    })

    it('goes on waiting when the client has gone, until it is cancelled', async () => {
      await take(one, 1)
      const pid = Number(await value(other, 'SELECT pg_backend_pid()'))
      const waiting = other.query('SELECT pg_advisory_lock(1)').catch(() => 'gone')
      const isWaiting = (): Promise<unknown> => value(one, `SELECT 1 FROM pg_locks WHERE pid = ${pid} AND NOT granted`)
      await until('the wait', isWaiting)
      ;(other as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy()
      expect(await settlesWithin(5_000, 'the statement', waiting)).to.equal('gone')
      await value(one, 'SELECT 1 FROM pg_sleep(0.5)')
      expect(await isWaiting()).to.equal(1)
      await one.query(`SELECT pg_cancel_backend(${pid})`)
      await until('the end of the wait', async () => (await isWaiting()) === undefined)
    })
  })
}
