import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { expect } from 'chai'
import { DataSource } from 'typeorm'
import type { RunningServer } from '../../dev/servers/index.js'
import { NamedLockConfigurationError, NamedLockLostError, NamedLockService } from '../../src/index.js'
import { rejection } from '../support/rejection.js'
import { onMember, ReplicationGroup } from '../support/replication-group.js'
import { serverKinds } from '../support/servers.js'
import { TcpProxy } from '../support/tcp-proxy.js'
import { until } from '../support/until.js'

/** NAMED_LOCK_CHAOS=full: a group with the server's own limits, which elects later, and the figures are printed. */
const isFull = process.env.NAMED_LOCK_CHAOS === 'full'

/** The application's DataSource, at the address of a member or of a router. */
async function at<T>(
  { username, password, database }: Pick<RunningServer, 'username' | 'password' | 'database'>,
  port: number,
  work: (locks: NamedLockService) => Promise<T>,
): Promise<T> {
  const login = { type: 'mysql', host: '127.0.0.1', port, username, password, database } as const
  const dataSource = await new DataSource(login).initialize()
  try {
    await using locks = new NamedLockService(dataSource)
    return await work(locks)
  } finally {
    await dataSource.destroy()
  }
}

describe('a real replication group', () => {
  let group: ReplicationGroup
  let primary: RunningServer
  let secondary: RunningServer

  before(async function () {
    this.timeout(600_000)
    const isPossible = existsSync('/usr/bin/apt-get') && existsSync('/usr/bin/dpkg-deb')
    if (!isPossible || !serverKinds.includes('mysql')) this.skip()
    group = await ReplicationGroup.start(3)
    ;[primary, secondary] = group.members as [RunningServer, RunningServer]
  })
  after(() => group?.[Symbol.asyncDispose]())

  it('with a single primary excludes on it, and check finds nothing', async () => {
    await at(primary, primary.port, async (here) => {
      await at(primary, primary.port, async (there) => {
        const problems = (await here.check()).filter(({ severity }) => severity !== 'info')
        expect(problems).to.deep.equal([])
        await using lock = await here.acquire('a')
        expect(await there.tryAcquire('a')).to.equal(null)
        expect(await lock.verify()).to.equal(true)
      })
    })
  })

  it('grants on a secondary what is held on the primary: check reports an error', async () => {
    await at(primary, primary.port, async (here) => {
      await at(secondary, secondary.port, async (there) => {
        const codes = (await there.check()).filter(({ severity }) => severity !== 'info').map(({ code }) => code)
        expect(codes).to.deep.equal(['SERVER_READ_ONLY'])
        await using lock = await here.acquire('a')
        await using same = await there.acquire('a', { timeout: 0 })
        expect([await lock.verify(), await same.verify()]).to.deep.equal([true, true])
        const write = there.transaction('b', (manager) => manager.query('CREATE TABLE t (i INT PRIMARY KEY)'))
        expect((await rejection(write)).message).to.include('super-read-only')
      })
    })
  })

  const longer = isFull ? it : (): void => undefined
  longer('without a majority keeps its locks on the primary, and commits nothing', async function () {
    this.timeout(120_000)
    const others = group.members.filter((member) => member !== primary)
    await at(primary, primary.port, async (locks) => {
      await onMember(primary, (one) => one.query(`CREATE TABLE ${primary.database}.written (i INT PRIMARY KEY)`))
      await using lock = await locks.acquire('a')
      await Promise.all(others.map((member) => member.freeze()))
      try {
        await until('a group without a majority', async () => (await group.online(primary)).length === 1, {
          within: 60_000,
        })
        expect(await lock.verify()).to.equal(true)
        let hasCommitted = false
        const write = locks.transaction('b', (manager) => manager.query('INSERT INTO written VALUES (1)'))
        const committed = write.then(() => (hasCommitted = true))
        await until('a COMMIT that waits', () =>
          onMember(primary, async (one) => {
            const sql = "SELECT COUNT(*) AS n FROM information_schema.processlist WHERE INFO = 'COMMIT'"
            return (await one.query<any[]>(sql))[0][0].n === 1
          }),
        )
        expect(await lock.verify()).to.equal(true)
        expect(hasCommitted).to.equal(false)
        await Promise.all(others.map((member) => member.thaw()))
        await committed
      } finally {
        await Promise.all(others.map((member) => member.thaw()))
      }
      await until('all members online', async () => (await group.online(primary)).length === 3, { within: 60_000 })
    })
  })

  it('survives the death of its primary: the lock is lost at once, and the next primary grants it', async function () {
    this.timeout(90_000)
    // Not before: on a busy machine a member that is only slow would be expelled.
    if (!isFull) {
      const expel = 'SET GLOBAL group_replication_member_expel_timeout=0'
      await Promise.all(group.members.map((member) => onMember(member, (one) => one.query(expel))))
    }
    const router = await TcpProxy.start({ host: '127.0.0.1', port: primary.port })
    try {
      await at(primary, router.port, async (holder) => {
        await at(primary, router.port, async (waiter) => {
          let lost = 0
          holder.on('lost', () => (lost = performance.now()))
          let hasBegun = false
          const work = holder.withLock('a', async ({ signal }) => {
            hasBegun = true
            await once(signal, 'abort')
          })
          const loss = rejection(work, NamedLockLostError)
          await until('the work of the holder', () => hasBegun)
          const next = waiter.acquire('a', { timeout: '60s' })
          await until('a waiter', async () => (await holder.list()).find(({ waiters }) => waiters.length > 0))
          const died = performance.now()
          await primary.kill()
          await loss
          const elected = await group.primary()
          const electedAt = performance.now()
          router.retarget({ host: '127.0.0.1', port: elected.port })
          const granted = await next
          const figures = { lost: lost - died, elected: electedAt - died, granted: performance.now() - electedAt }
          if (isFull) console.log(figures)
          expect(figures.lost).to.be.lessThan(figures.elected).and.greaterThan(0)
          expect(await granted.verify()).to.equal(true)
          expect(await holder.tryAcquire('a')).to.equal(null)
          await granted.release()
          await using again = await holder.acquire('a')
          expect(await again.verify()).to.equal(true)
        })
      })
    } finally {
      await router.shut()
    }
  })

  it('with several primaries is refused, and check reports why', async function () {
    this.timeout(60_000)
    await group.makeMultiPrimary()
    const member = await group.primary()
    // An application's account sees no members.
    await onMember(member, (one) => one.query("CREATE USER few IDENTIFIED BY 'few'"))
    await onMember(member, (one) => one.query(`GRANT ALL ON ${member.database}.* TO few`))
    const few = { username: 'few', password: 'few', database: member.database }
    await at(few, member.port, async (locks) => {
      const { message } = await rejection(locks.ping(), NamedLockConfigurationError)
      expect(message).to.include('(GROUP_REPLICATION_MULTI_PRIMARY)').and.include('one of several primaries')
      expect((await locks.check())[0]).to.include({ code: 'GROUP_REPLICATION_MULTI_PRIMARY', severity: 'error' })
    })
    await at(member, member.port, async (locks) => {
      const work = () => expect.fail('the work ran')
      const calls = [() => locks.withLock('a', work), () => locks.transaction('a', work), () => locks.ping()]
      for (const call of calls) {
        const { message } = await rejection(call(), NamedLockConfigurationError)
        expect(message).to.include('(GROUP_REPLICATION_MULTI_PRIMARY)').and.include('one of 2 primaries')
      }
      expect((await locks.check()).map(({ code }) => code)).to.deep.equal(['GROUP_REPLICATION_MULTI_PRIMARY'])
    })
  })
})
