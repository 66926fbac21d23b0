import { expect } from 'chai'
import { rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import type { Finding } from '../../src/index.js'
import { cli, findingIn } from '../support/cli.js'
import { forEachOwnServer, forEachDialectAndTypeorm } from '../support/conformance.js'
import { makeDataSource } from '../support/typeorms.js'

const codes = (findings: readonly Finding[]) => findings.map(({ code }) => code)

describe('check', () => {
  forEachDialectAndTypeorm((ctx) => {
    it('finds nothing wrong with a plain server and pool', async () => {
      expect(await (await ctx.service()).check()).to.deep.equal([])
    })

    it('leaves the settings of its connection as they were', async () => {
      const dataSource = await ctx.dataSource()
      const before = await dataSource.query(ctx.leaseSql)
      await (await ctx.service({}, dataSource)).check()
      expect(await dataSource.query(ctx.leaseSql)).to.deep.equal(before)
    })

    it('finds a small pool', async () => {
      const small = await ctx.service({}, await ctx.dataSource({ poolSize: 2 }))
      const [finding] = await small.check()
      expect(finding).to.include({ code: 'POOL_TOO_SMALL', severity: 'warning' })
      const middling = await ctx.service({}, await ctx.dataSource({ poolSize: 6 }))
      expect((await middling.check())[0]).to.include({ code: 'POOL_TOO_SMALL', severity: 'info' })
      const own = await ctx.service({ connections: 'own' }, await ctx.dataSource({ poolSize: 2 }))
      expect(await own.check()).to.deep.equal([])
    })

    it('finds missing grants, and names them', async () => {
      const user = `${ctx.database}_weak`
      await ctx.createUser(user, 'weak')
      const weak = makeDataSource(ctx.typeorm, { ...ctx.address, username: user, password: 'weak' })
      await weak.initialize()
      try {
        const locks = await ctx.service({}, weak)
        const findings = await locks.check()
        if (ctx.isPostgres) {
          // Every account may see the locks there.
          expect(codes(findings)).to.deep.equal(['MISSING_GRANT_KILL'])
          expect(findings[0]!.remedy).to.match(/GRANT pg_signal_backend/)
          await ctx.outsider.query(`GRANT pg_signal_backend TO ${user}`)
          expect(codes(await locks.check())).to.deep.equal([])
        } else {
          expect(codes(findings)).to.deep.equal(['MISSING_GRANT_LIST', 'MISSING_GRANT_KILL'])
          expect(findings[0]!.remedy).to.equal(`GRANT SELECT ON performance_schema.* TO '${user}'@'%'`)
          await ctx.outsider.query(findings[0]!.remedy)
          expect(codes(await locks.check())).to.deep.equal(['MISSING_GRANT_KILL'])
        }
        await locks.close()
      } finally {
        await weak.destroy()
        await ctx.dropUser(user)
      }
    })
  })
})

describe('check, a server with flaws', function () {
  this.timeout(120_000)

  forEachOwnServer(
    (ctx) => {
      it('finds that it is read-only, and that it replicates statements', async () => {
        const locks = await ctx.service()
        const url = ctx.server.url.replace(/[^/]*$/, ctx.database)
        expect(codes(await locks.check())).to.deep.equal(['BINLOG_STATEMENT', 'ROLLBACK_ON_TIMEOUT'])
        const warned = await cli('check', '--url', url)
        expect([warned.code, findingIn(warned.stdout)]).to.deep.equal([1, 'WARNING  BINLOG_STATEMENT'])
        await ctx.outsider.query('SET GLOBAL read_only = 1')
        const findings = await locks.check()
        const failed = await cli('check', '--json', '--url', url)
        expect([failed.code, codes((JSON.parse(failed.stdout) as { findings: Finding[] }).findings)]).to.deep.equal([
          2,
          codes(findings),
        ])
        await ctx.outsider.query('SET GLOBAL read_only = 0')
        expect(codes(findings)).to.deep.equal(['SERVER_READ_ONLY', 'BINLOG_STATEMENT', 'ROLLBACK_ON_TIMEOUT'])
        for (const { message, remedy } of findings)
          expect(message && remedy)
            .to.be.a('string')
            .and.not.equal('')
      })

      for (const [variable, value, usual, code, message] of [
        ['autocommit', '0', '1', 'AUTOCOMMIT_OFF', /autocommit is off/],
        ['completion_type', "'CHAIN'", "'NO_CHAIN'", 'COMPLETION_TYPE', /begins another transaction/],
        ['completion_type', "'RELEASE'", "'NO_CHAIN'", 'COMPLETION_TYPE', /ends its connection/],
      ] as const)
        it(`finds that sessions begin with ${variable}=${value}, and reports nothing for other sessions`, async () => {
          const others = ['BINLOG_STATEMENT', 'ROLLBACK_ON_TIMEOUT']
          const before = await ctx.service()
          expect(codes(await before.check())).to.deep.equal(others)
          await ctx.outsider.query(`SET GLOBAL ${variable}=${value}`)
          try {
            const findings = await (await ctx.service()).check()
            expect(codes(findings)).to.have.members([...others, code])
            const finding = findings.find((one) => one.code === code)!
            expect(finding.severity).to.equal('warning')
            expect(finding.message).to.match(message)
            expect(finding.remedy).to.include(variable)
          } finally {
            await ctx.outsider.query(`SET GLOBAL ${variable}=${usual}`)
          }
          expect(codes(await (await ctx.service()).check())).to.deep.equal(others)
        })
    },
    ['--log-bin=binlog', '--server-id=7', '--binlog-format=STATEMENT', '--innodb-rollback-on-timeout=1'],
  )

  forEachOwnServer(
    (ctx) => {
      it('finds a small table of locks, and that it is a hot standby', async function () {
        const url = ctx.server.url.replace(/[^/]*$/, ctx.database)
        const warned = await cli('check', '--url', url)
        expect([warned.code, findingIn(warned.stdout)]).to.deep.equal([1, 'WARNING  LOCK_TABLE_SMALL'])
        if (ctx.server.dataDir === undefined) {
          this.test!.title += ' (needs the files of the server)'
          this.skip()
        }
        // This file makes the server a standby at its next start.
        const signal = path.join(ctx.server.dataDir, 'standby.signal')
        await writeFile(signal, '')
        await ctx.server.restart()
        try {
          const failed = await cli('check', '--json', '--url', url)
          const found = codes((JSON.parse(failed.stdout) as { findings: Finding[] }).findings)
          expect([failed.code, found]).to.deep.equal([2, ['SERVER_READ_ONLY', 'LOCK_TABLE_SMALL']])
        } finally {
          await rm(signal)
          await ctx.server.restart()
          await ctx.reconnectOutsider()
        }
      })
    },
    (kind) => (kind === 'postgres' ? ['-c', 'max_locks_per_transaction=10', '-c', 'max_connections=40'] : undefined),
  )
})
