import { expect } from 'chai'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import type { NamedLock } from '../../src/index.js'
import { Cli, cli, endClis } from '../support/cli.js'
import { forEachFamily } from '../support/conformance.js'

describe('named-lock and namespaces', function () {
  this.timeout(180_000)

  forEachFamily((ctx) => {
    describe('while others hold locks', () => {
      const url = () => ctx.server.url.replace(/[^/]*$/, ctx.database)
      let folder: string
      let held: NamedLock[]

      beforeEach('hold locks in other namespaces', async () => {
        folder = await mkdtemp(path.join(__dirname, 'tmp-'))
        const billing = await ctx.service({ namespace: 'billing' })
        const shop = await ctx.service({ namespace: 'shop' })
        held = [await billing.acquire('nightly'), await billing.acquire('Übung'), await shop.acquire('order')]
      })
      afterEach(async () => {
        await endClis()
        await Promise.all(held.map((lock) => lock.release()))
        await rm(folder, { recursive: true })
      })

      /** A file that exports a service with these options, and its path. */
      async function serviceFile(options: string, how = 'export const locks = service'): Promise<string> {
        const { kind: type, ...address } = ctx.address
        const index = path.join(__dirname, '..', '..', 'src', 'index.ts')
        const text = `import { DataSource } from 'typeorm'
        import { NamedLockService } from ${JSON.stringify(index)}
        const dataSource = new DataSource(${JSON.stringify({ type, ...address })})
        const service = new NamedLockService(dataSource, ${options})
        ${how}`
        const file = path.join(folder, 'service.ts')
        await writeFile(file, text)
        return file
      }

      const counted = () =>
        ctx.sql(
          '3 locks in other namespaces: billing (2), shop (1). Pass --namespace <text> or --no-namespace to look there.',
          "3 advisory locks are held in this database. PostgreSQL's keys are hashes, so they do not show names or namespaces.",
        )

      it('names its namespace in every answer, and the locks held in others', async () => {
        const where = `namespace '${ctx.database}'`
        const who = await cli('who', 'order', '--url', url())
        const elsewhere = ctx.isPostgres ? counted() : "'order' is held in namespace 'shop' by "
        expect(who.code).to.equal(1)
        expect(who.stdout).to.include(`'order' is free in ${where}.\n${elsewhere}`)
        const nothing = await cli('who', 'nothing', '--url', url())
        expect(nothing.stdout).to.equal(`'nothing' is free in ${where}.\n${counted()}\n`)
        const released = await cli('release', 'nothing', '--kill-holder', '--yes', '--url', url())
        expect([released.code, released.stdout]).to.deep.equal([0, nothing.stdout])
        const list = await cli('list', '--url', url())
        if (ctx.isPostgres) expect(list.stdout).to.match(/the locks of all namespaces of this database/)
        else expect(list.stdout).to.equal(`No locks in ${where}. ${counted()}\n`)
        const check = await cli('check', '--url', url())
        expect(check.stdout).to.include(`\n\nNo problems found.\nLocks are in ${where}.\n${counted()}\n`)
      })

      it('names the namespace in JSON, too', async () => {
        const list = JSON.parse((await cli('list', '--json', '--url', url())).stdout)
        const others = ctx.isPostgres ? { unknown: 3 } : { counts: { billing: 2, shop: 1 } }
        expect(list).to.deep.include({ namespace: ctx.database, others })
        expect(list.locks).to.have.length(ctx.isPostgres ? 3 : 0)
        const who = JSON.parse((await cli('who', 'order', '--json', '--url', url())).stdout)
        expect(who).to.deep.include({ namespace: ctx.database, name: 'order', holder: null, others })
        expect(who.elsewhere.map((one: { namespace: string }) => one.namespace)).to.deep.equal(
          ctx.isPostgres ? [] : ['shop'],
        )
        const check = JSON.parse((await cli('check', '--json', '--url', url())).stdout)
        expect(check).to.deep.include({ namespace: ctx.database, findings: [], others })
        expect(check.checks[0]).to.deep.equal({
          check: 'the server, its version and its cluster',
          result: 'ok',
          codes: [],
        })
      })

      it('takes the namespace from the flag, the exported service, the environment, in this order', async () => {
        const isHeld = async (args: string[], env = {}) => {
          const { code, stdout } = await new Cli(['who', 'nightly', ...args], { env }).ended
          expect(stdout).to.match(/namespace/)
          return code === 0
        }
        const environment = { NAMED_LOCK_NAMESPACE: 'billing' }
        expect(await isHeld(['--url', url()]), 'the default').to.equal(false)
        expect(await isHeld(['--url', url()], environment), 'the environment').to.equal(true)
        expect(await isHeld(['--url', url(), '--namespace', 'shop'], environment), 'the flag').to.equal(false)
        expect(await isHeld(['-d', await serviceFile("{ namespace: 'billing' }")]), 'the service').to.equal(true)
        const shop = await serviceFile("{ namespace: 'shop' }", 'export default () => Promise.resolve(service)')
        expect(await isHeld(['-d', shop], environment), 'the service before the environment').to.equal(false)
        expect(await isHeld(['-d', shop, '--namespace', 'billing']), 'the flag before the service').to.equal(true)
      })

      it('takes all options of an exported service', async () => {
        const fencing = await serviceFile("{ namespace: 'billing', fencing: { table: 'counted' } }")
        const token = ['sh', '-c', 'echo $NAMED_LOCK_KEY $NAMED_LOCK_FENCING_TOKEN']
        const run = async () => (await cli('run', 'free', '-d', fencing, '--', ...token)).stdout.trim().split(' ')
        const first = await run()
        const second = await run()
        expect(first[0]).to.equal(ctx.keyOf('free', 'billing'))
        expect(Number(second[1])).to.be.greaterThan(Number(first[1]))
        expect(Number(await ctx.outsider.value(`SELECT count(*) FROM ${ctx.database}.counted`))).to.equal(1)
      })

      it('requires a choice when a file exports services of several namespaces', async () => {
        const how = "export const a = service; export const b = new NamedLockService(dataSource, { namespace: 'shop' })"
        const file = await serviceFile("{ namespace: 'billing' }", how)
        const unclear = await cli('who', 'nightly', '-d', file)
        expect(unclear.code).to.equal(64)
        expect(unclear.stderr).to.match(/several services with different namespaces \('billing', 'shop'\)/)
        expect((await cli('who', 'nightly', '-d', file, '--namespace', 'billing')).code).to.equal(0)
      })

      it('warns that a name is held in another namespace, if the server shows it', async () => {
        const run = (...args: string[]) => cli('run', ...args, '--timeout', '0', '--url', url(), '--', 'echo', 'ran')
        const { code, stdout, stderr } = await run('order')
        expect([code, stdout]).to.deep.equal([0, 'ran\n'])
        if (ctx.isPostgres) expect(stderr).to.equal('')
        else {
          expect(stderr).to.match(
            new RegExp(
              `^named-lock: warning: running under namespace '${ctx.database}'. 'order' is held in namespace 'shop' by .*: pass --namespace shop`,
            ),
          )
        }
        // The default namespace, and none, are recognised from hashes, too.
        held.push(await (await ctx.service()).acquire('order'))
        const other = await run('order', '--namespace', 'third')
        expect(other.stderr).to.match(new RegExp(`'order' is held in namespace '${ctx.database}' by `))
        expect((await run('unheard')).stderr).to.equal('')
        const busy = await run('order')
        expect(busy.code).to.equal(75)
        expect(busy.stderr).to.include(`(namespace '${ctx.database}')`)
      })

      it('refuses to migrate with a DataSource that has no migrations, and creates no table', async () => {
        const { kind: type, ...address } = ctx.address
        for (const migrations of ['', 'migrations: [],', "migrations: ['nowhere/*.js'],"]) {
          const file = path.join(folder, 'none.cjs')
          await writeFile(
            file,
            `module.exports = new (require('typeorm').DataSource)({ ${migrations} ...${JSON.stringify({ type, ...address })} })`,
          )
          const { code, stdout, stderr } = await cli('migrate', '-d', file)
          expect([code, stdout], migrations).to.deep.equal([78, ''])
          expect(stderr, migrations).to.match(/^named-lock: The DataSource has no migrations: /)
        }
        const n = await ctx.outsider.value(
          `SELECT count(*) AS n FROM information_schema.tables WHERE table_name = 'migrations' AND table_schema = '${ctx.database}'`,
        )
        expect(Number(n)).to.equal(0)
      })

      it('identifies a server of the other family at once', async () => {
        const { hostname, port, username, password } = new URL(ctx.server.url)
        const scheme = ctx.isPostgres ? 'mysql' : 'postgres'
        const wrong = `${scheme}://${username}:${password}@${hostname}:${port}/${ctx.database}`
        const startedAt = performance.now()
        const { code, stderr } = await cli('who', 'x', '--url', wrong)
        expect(code).to.equal(78)
        expect(stderr).to.match(ctx.isPostgres ? /is PostgreSQL, not MySQL/ : /is MySQL, not PostgreSQL/)
        const took = performance.now() - startedAt
        const again = performance.now()
        await cli('who', 'x', '--url', url())
        // In addition to the time of any command on this machine now, less than the driver's wait of 10 s.
        expect(took - (performance.now() - again)).to.be.lessThan(8_000)
        const file = path.join(folder, 'mixed.cjs')
        const options = { type: ctx.sql('mysql', 'postgres'), url: wrong }
        await writeFile(file, `module.exports = new (require('typeorm').DataSource)(${JSON.stringify(options)})`)
        const mixed = await cli('who', 'x', '-d', file)
        expect(mixed.code).to.equal(78)
        expect(mixed.stderr).to.include(`but its url begins with ${scheme}://`)
      })
    })
  })
})
