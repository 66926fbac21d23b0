import { expect } from 'chai'
import { NamedLockConfigurationError, type Finding, type NamedLockService } from '../../src/index.js'
import { cli, findingIn } from '../support/cli.js'
import { forEachDialect, forEachFamily, type Conformance } from '../support/conformance.js'
import { LyingServer, type Lie } from '../support/lying-server.js'
import { rejection } from '../support/rejection.js'
import { familyKinds } from '../support/servers.js'

const HONEST: Lie = (sql) => sql

/** Each promise of a server, broken: on MySQL's family and on PostgreSQL. */
const LIES: Readonly<Record<string, { mysql: Lie; postgres: Lie }>> = {
  // Every connection has locks of its own.
  LOCKS_NOT_EXCLUSIVE: {
    mysql: (sql, connection) => sql.replace(/_LOCK\(x'..../g, `_LOCK(x'${(0x6100 + connection).toString(16)}`),
    postgres: (sql, connection) => sql.replace(/(advisory_(?:try_)?\w*lock)\((-?\d+)/g, `$1($2+${connection}`),
  },
  // As TiDB, where the least timeout is a second.
  TRY_BLOCKS: {
    mysql: (sql) => sql.replace(/(GET_LOCK\(x'\w+'),0\)/g, '$1,1)'),
    postgres: (sql) =>
      sql.replace(/pg_catalog\.pg_try_advisory_lock\(/g, '(pg_catalog.pg_sleep(0.8)::text IS NULL) OR $&'),
  },
  HOLDER_UNKNOWN: {
    mysql: (sql) => sql.replace(/IS_USED_LOCK\(x'\w+'\)/g, 'IF($&,1,NULL)'),
    postgres: (sql) => sql.replace(/FROM pg_catalog\.pg_locks WHERE/g, '$& false AND'),
  },
  // As Vitess, where a lock function is a column or nothing.
  EXPRESSIONS_REFUSED: {
    mysql: (sql) => (/(IF|CONCAT_WS)\(.*GET_LOCK\(x'/.test(sql) ? 'VT12001: unsupported' : sql),
    postgres: (sql) => (/^SELECT.*advisory_unlock\(.*try_advisory/s.test(sql) ? 'unsupported' : sql),
  },
  LOCKS_REFUSED: {
    mysql: (sql) => sql.replace(/GET_LOCK\(x'/g, 'no_such_$&'),
    postgres: (sql) => sql.replace(/^(SELECT.*)pg_try_advisory_lock/gs, '$1no_such_lock'),
  },
  LOCKS_OUTLIVE_SESSIONS: { mysql: HONEST, postgres: HONEST },
  // As Dolt: what is set is answered, and nothing follows from it.
  LEASE_NOT_ENFORCED: { mysql: storedLease(/wait_timeout=(\d+)/), postgres: storedLease(/idle_session_timeout=(\d+)/) },
}

function storedLease(setting: RegExp): Lie {
  const stored = new Map<number, string>()
  return (sql, connection) => {
    const [, value] = /^SET /.test(sql) ? (setting.exec(sql) ?? []) : []
    if (value !== undefined) {
      stored.set(connection, value)
      return sql.replace(setting, (all) => all.replace(value, '86400'))
    }
    const known = stored.get(connection)
    if (known === undefined) return sql
    return sql
      .replace(/^(SELECT .*)@@SESSION\.wait_timeout/s, `$1${known}`)
      .replace("SELECT setting FROM pg_catalog.pg_settings WHERE name='idle_session_timeout'", `SELECT '${known}'`)
  }
}

/** Version texts of other engines, with the name by which they are refused. */
const ENGINES: readonly (readonly [family: 'mysql' | 'postgres', version: string, comment: string, name: RegExp])[] = [
  ['mysql', '8.0.11-TiDB-v7.5.0', 'TiDB Server (Apache License 2.0) Community Edition', /TiDB/],
  ['mysql', '8.0.30-Vitess', 'Version: 21.0.0', /Vitess/],
  ['mysql', '8.0.21-PlanetScale', '', /PlanetScale/],
  ['mysql', '8.0.30-MatrixOne-v1.2.0', 'MatrixOne', /MatrixOne/],
  ['mysql', '5.7.25', 'OceanBase_CE 4.2.1.8 (r108000022024072217)', /OceanBase/],
  ['postgres', 'CockroachDB CCL v25.2.1 (x86_64-pc-linux-gnu)', '', /CockroachDB/],
  ['postgres', 'PostgreSQL 11.2-YB-2.20.7.0-b0 on x86_64-pc-linux-gnu', '', /YugabyteDB/],
  ['postgres', 'PostgreSQL 8.0.2 on i686-pc-linux-gnu, Redshift 1.0.77467', '', /Redshift/],
]

/** Only what the library asks: TypeORM's own dialect goes by the version, too. */
function engine(version: string, comment: string): Lie {
  return (sql) =>
    sql
      .replace(/VERSION\(\)(?=( AS v)?,@@version_comment)/g, `'${version}'`)
      .replace(/@@version_comment/g, `'${comment}'`)
      .replace(/pg_catalog\.version\(\)/g, `'${version}'`)
}

const codes = (findings: readonly Finding[]): string[] => findings.map(({ code }) => code)

async function behind<T>(
  ctx: Conformance,
  lie: Lie,
  work: (locks: NamedLockService, liar: LyingServer) => Promise<T>,
  { keepsSessions = false, options = {} } = {},
): Promise<T> {
  const liar = await LyingServer.start(ctx.server, lie, { keepsSessions })
  const dataSource = await ctx.dataSource({ host: liar.host, port: liar.port })
  const locks = await ctx.service(options, dataSource)
  try {
    return await work(locks, liar)
  } finally {
    await locks.close()
    await dataSource.destroy()
    await liar.stop()
  }
}

describe('a server that breaks a promise about locks', () => {
  forEachFamily((ctx) => {
    const lieOf = (code: string): Lie => LIES[code]![ctx.isPostgres ? 'postgres' : 'mysql']

    for (const code of ['LOCKS_NOT_EXCLUSIVE', 'HOLDER_UNKNOWN', 'EXPRESSIONS_REFUSED', 'LOCKS_REFUSED'])
      it(`is found out by check(): ${code}`, async () => {
        const [finding, ...others] = await behind(ctx, lieOf(code), (locks) => locks.check())
        expect(finding).to.include({ code, severity: 'error' })
        expect([finding!.message, finding!.remedy]).to.satisfy((texts: string[]) => texts.every(Boolean))
        expect(others).to.deep.equal([])
      })

    it('is found out by check(), where that takes time: TRY_BLOCKS, LOCKS_OUTLIVE_SESSIONS, LEASE_NOT_ENFORCED', async function () {
      this.timeout(60_000)
      const slow = ['TRY_BLOCKS', 'LOCKS_OUTLIVE_SESSIONS', 'LEASE_NOT_ENFORCED']
      const found = await Promise.all(
        slow.map((code) => {
          const keepsSessions = code === 'LOCKS_OUTLIVE_SESSIONS'
          const lease = code === 'LEASE_NOT_ENFORCED'
          return behind(ctx, lieOf(code), (locks) => locks.check({ lease }), { keepsSessions })
        }),
      )
      expect(found.map(codes)).to.deep.equal(slow.map((code) => [code]))
    })

    it('is believed as long as its lease is not tested, and the proxy alone changes nothing', async () => {
      expect(await behind(ctx, lieOf('LEASE_NOT_ENFORCED'), (locks) => locks.check())).to.deep.equal([])
      expect(await behind(ctx, HONEST, (locks) => locks.check({ lease: true }))).to.deep.equal([])
    })

    it('of which two stand behind one address is found out: SEVERAL_SERVERS', async () => {
      const lie: Lie = (sql, connection) =>
        sql
          .replace(/@@server_uuid AS s/, `CONCAT(@@server_uuid,'${connection}') AS s`)
          .replace(/@@datadir\) AS s/, `@@datadir,'${connection}') AS s`)
          .replace(/extract\(epoch FROM pg_catalog\.pg_postmaster_start_time\(\)\)/, `($&+${connection})`)
      expect(codes(await behind(ctx, lie, (locks) => locks.check()))).to.deep.equal(['SEVERAL_SERVERS'])
    })
  })
})

/** Sessions of PostgreSQL do not try the lock functions when they open: its view of locks costs too much. */
const ofMySql = familyKinds.filter((kind) => kind !== 'postgres')

describe('an engine that only looks like MySQL or PostgreSQL', () => {
  forEachFamily((ctx) => {
    const family = ctx.isPostgres ? 'postgres' : 'mysql'
    const calls: readonly ((locks: NamedLockService) => Promise<unknown>)[] = [
      (locks) => locks.withLock('a', () => expect.fail('the work ran')),
      (locks) => locks.tryWithLock('a', () => expect.fail('the work ran')),
      (locks) => locks.withLock('a', { session: 'dedicated' }, () => expect.fail('the work ran')),
      (locks) => locks.transaction('a', () => expect.fail('the work ran')),
      (locks) => locks.ping(),
    ]

    for (const [, version, comment, name] of ENGINES.filter(([one]) => one === family))
      it(`is refused by its version, in every call: ${version} ${comment}`, async () => {
        await behind(ctx, engine(version, comment), async (locks) => {
          for (const call of calls) {
            const { message } = await rejection(call(locks), NamedLockConfigurationError)
            expect(message).to.match(name).and.include(version).and.include('SERVER_NOT_SUPPORTED')
          }
          const [finding, ...others] = await locks.check({ lease: true })
          expect(finding).to.include({ code: 'SERVER_NOT_SUPPORTED', severity: 'error' })
          expect(others).to.deep.equal([])
          expect((await rejection(calls[0]!(locks))).message).to.include(finding!.message)
        })
      })

    it('is refused by the command, too', async () => {
      const [, version, comment] = ENGINES.find(([one]) => one === family)!
      await behind(ctx, engine(version, comment), async (_locks, { host, port }) => {
        const url = ctx.server.url.replace(/@[^/]*\/.*$/, `@${host}:${port}/${ctx.database}`)
        const { code, stdout } = await cli('check', '--lease', '--url', url)
        expect([code, findingIn(stdout)]).to.deep.equal([2, 'ERROR  SERVER_NOT_SUPPORTED'])
        expect(stdout).to.match(
          /^error +the server, .*: SERVER_NOT_SUPPORTED\n(.*\n)*not checked +two sessions exclude each other\n/,
        )
      })
    })
  })

  forEachFamily((ctx) => {
    const lies: Readonly<Record<string, Lie>> = {
      'IS_USED_LOCK does not give the holder': (sql) => sql.replace(/IS_USED_LOCK\(/g, '1+0*$&'),
      'GET_LOCK does nothing': (sql) => sql.replace(/GET_LOCK\(\w+,0\)/g, '1'),
      'an expression around GET_LOCK is refused': (sql) => (/IF\(GET_LOCK/.test(sql) ? 'VT12001: unsupported' : sql),
      'there is no such function': (sql) => sql.replace(/\bGET_LOCK\(/g, 'no_such_lock('),
    }
    for (const [what, lie] of Object.entries(lies))
      it(`is refused by its behaviour: ${what}`, async () => {
        await behind(ctx, lie, async (locks) => {
          for (const session of ['shared', 'dedicated'] as const) {
            const call = locks.withLock('a', { session }, () => expect.fail('the work ran'))
            expect((await rejection(call, NamedLockConfigurationError)).message).to.include('SERVER_NOT_SUPPORTED')
          }
        })
      })

    const slips: Readonly<Record<string, Lie>> = {
      'answers as a cancelled one may': (sql) => sql.replace(/IF\(GET_LOCK.*$/s, 'NULL AS g,0 AS h,NULL AS r'),
      fails: () => 'unsupported',
    }
    for (const [what, slip] of Object.entries(slips)) {
      it(`is not refused for one statement, which ${what}`, async () => {
        const asked = new Map<number, number>()
        const once: Lie = (sql, connection) => {
          if (!/IF\(GET_LOCK/.test(sql)) return sql
          asked.set(connection, (asked.get(connection) ?? 0) + 1)
          return asked.get(connection) === 1 ? slip(sql, connection) : sql
        }
        await behind(ctx, once, async (locks) => {
          for (const session of ['shared', 'dedicated'] as const) {
            expect(await locks.withLock('a', { session }, () => session)).to.equal(session)
          }
        })
        expect([...asked.values()]).to.deep.equal([2, 2])
      })
    }

    it('may be used without a lease, where that is all that it lacks', async () => {
      const dolt = engine(ctx.kind === 'mariadb' ? '10.11.0-MariaDB' : '8.0.33', 'Dolt')
      await behind(ctx, dolt, async (locks) => {
        const { message } = await rejection(
          locks.withLock('a', () => undefined),
          NamedLockConfigurationError,
        )
        expect(message).to.match(/Dolt.*allowNoLease/s)
        expect(codes(await locks.check())).to.deep.equal(['LEASE_NOT_ENFORCED'])
      })
      const options = { allowNoLease: true }
      await behind(ctx, dolt, async (locks) => expect(await locks.withLock('a', () => 1)).to.equal(1), { options })
    })
  }, ofMySql)
})

/** What nodes of Galera clusters say to GET_LOCK: Percona XtraDB Cluster; and MariaDB 10.4.29, 10.5.20, 10.6.13 and 10.11.3. */
const GALERA_REFUSALS = {
  mysql: { errno: 1105, text: 'Percona-XtraDB-Cluster prohibits use of GET_LOCK with pxc_strict_mode = ENFORCING' },
  mariadb: { errno: 1235, text: "This version of MariaDB doesn't yet support 'GET_LOCK in cluster (WSREP_ON=ON)'" },
} as const

describe('a node of a Galera cluster that refuses GET_LOCK', () => {
  forEachFamily((ctx) => {
    const { errno, text } = GALERA_REFUSALS[ctx.kind as keyof typeof GALERA_REFUSALS]
    const signal = `SIGNAL SQLSTATE '42000' SET MYSQL_ERRNO=${errno}, MESSAGE_TEXT='${text.replaceAll("'", "''")}'`
    const refuses: Lie = (sql) => (/\bGET_LOCK\(/.test(sql) ? signal : sql)
    const isRefused = async (call: Promise<unknown>): Promise<void> => {
      const { message } = await rejection(call, NamedLockConfigurationError)
      expect(message)
        .to.include('(GALERA_NODE)')
        .and.include(text)
        .and.include('to one node')
        .and.include('#unfit-server')
    }

    it('is refused with its code in every call that opens a session', async () => {
      const work = () => expect.fail('the work ran')
      const calls: readonly ((locks: NamedLockService) => Promise<unknown>)[] = [
        (locks) => locks.withLock('a', work),
        (locks) => locks.tryWithLock('a', work),
        (locks) => locks.withLock('a', { session: 'dedicated' }, work),
        (locks) => locks.withLock('b', { mode: 'read' }, work),
        (locks) => locks.withLock('c', { permits: 2 }, work),
        (locks) => locks.transaction('a', work),
        (locks) => locks.ping(),
      ]
      await behind(ctx, refuses, async (locks) => {
        for (const call of calls) await isRefused(call(locks))
      })
    })

    it('is refused with its code inside a transaction of the application', async () => {
      await behind(ctx, refuses, async (_locks, { host, port }) => {
        const dataSource = await ctx.dataSource({ host, port })
        const locks = await ctx.service({}, dataSource)
        await isRefused(dataSource.transaction((manager) => locks.lockTransaction(manager, 'a')))
        await locks.close()
        await dataSource.destroy()
      })
    })

    it('is refused with its code when it begins to refuse later', async () => {
      let isRefusing = false
      await behind(
        ctx,
        (sql, connection) => (isRefusing ? refuses(sql, connection) : sql),
        async (locks) => {
          await locks.withLock('held', async (lock) => {
            isRefusing = true
            await isRefused(locks.withLock('a', () => expect.fail('the work ran')))
            // The first is sent at once, the others together.
            await Promise.all(['b', 'c', 'd', 'e'].map((name) => isRefused(locks.acquire(name))))
            expect(await lock.verify()).to.equal(true)
          })
        },
      )
    })

    it('ends waits with its code when it begins to refuse while they last', async () => {
      const outsider = await ctx.service({})
      await using lock = await outsider.acquire('a')
      // Two tries in, the caller polls: it has no connection to wait on.
      let tries = 0
      const later: Lie = (sql, connection) =>
        /^SELECT (CONCAT_WS\(|IF\()?.*GET_LOCK\(/.test(sql) && ++tries > 4 ? refuses(sql, connection) : sql
      await behind(ctx, later, (locks) => isRefused(locks.acquire('a', { timeout: '15s' })), {
        options: { maxSessions: 1 },
      })
      expect(await lock.verify()).to.equal(true)
    })

    it('is found out by check() with the same words', async () => {
      await behind(ctx, refuses, async (locks) => {
        const found = await locks.check()
        expect(codes(found)).to.deep.equal(['GALERA_NODE', 'LOCKS_REFUSED'])
        expect(found.map(({ severity }) => severity)).to.deep.equal(['error', 'error'])
        const { message } = await rejection(locks.ping())
        expect(message).to.include(found[0]!.message).and.include(found[0]!.remedy)
      })
    })

    it('is reported once, where it says itself that it is a node', async () => {
      const node: Lie = (sql, connection) => refuses(sql, connection).replace('@@GLOBAL.wsrep_on', "'ON'")
      const found = await behind(ctx, node, (locks) => locks.check())
      expect(codes(found)).to.deep.equal(['GALERA_NODE', 'LOCKS_REFUSED'])
      expect(found[0]!.message).to.include(text)
    })
  }, ofMySql)
})

describe('an honest server', () => {
  forEachDialect((ctx) => {
    it('passes the whole probe, and nothing of it is left', async () => {
      for (const poolSize of [2, 10]) {
        const locks = await ctx.service({}, await ctx.dataSource({ poolSize }))
        await locks.withLock('a', async () => {
          const findings = (await locks.check({ lease: poolSize === 2 })).filter(
            ({ code }) => code !== 'POOL_TOO_SMALL',
          )
          expect(findings).to.deep.equal([])
        })
      }
    })

    it('passes for an account that may have no more connections, with what was not tried', async () => {
      const user = `${ctx.database}_few`
      await ctx.createUser(user, 'few')
      await ctx.outsider.query(
        ctx.sql(`ALTER USER '${user}'@'%' WITH MAX_USER_CONNECTIONS 3`, `ALTER ROLE ${user} CONNECTION LIMIT 3`),
      )
      try {
        const dataSource = await ctx.dataSource({ username: user, password: 'few', poolSize: 2 })
        const locks = await ctx.service({}, dataSource)
        await locks.withLock('a', async () => {
          const findings = await locks.check({ lease: true })
          const alarms = findings.filter(({ code, severity }) => severity !== 'info' && !/^(POOL_|MISSING_)/.test(code))
          expect(alarms).to.deep.equal([])
          expect(codes(findings)).to.include('PROBE_INCOMPLETE')
        })
        await locks.close()
        await dataSource.destroy()
      } finally {
        await ctx.dropUser(user)
      }
    })
  })
})
