import { expect } from 'chai'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import type { LockInfo } from '../../src/index.js'
import { Cli, cli, endClis } from '../support/cli.js'
import { createProgram } from '../../src/cli/program.js'
import { forEachFamily } from '../support/conformance.js'
import { until } from '../support/until.js'

interface Listed {
  readonly namespace: string | false
  readonly locks: LockInfo[]
}

describe('named-lock', function () {
  this.timeout(180_000)

  afterEach(() => endClis())

  forEachFamily((ctx) => {
    const url = () => ctx.server.url.replace(/[^/]*$/, ctx.database)
    const key = (name: string) => ctx.keyOf(name)

    it('lists locks as a table and as JSON', async () => {
      const locks = await ctx.service()
      const lock = await locks.acquire('Übung \u001b[31m')
      await ctx.outsider.getLock(key('foreign'))
      const { stdout, code } = await cli('list', '--url', url())
      expect(code).to.equal(0)
      expect(stdout).to.match(/^NAME +HOLDER +HELD FOR +WAITING\n/)
      expect(stdout).to.include(`connection ${ctx.outsider.id}, ${ctx.server.username}@`)
      expect(stdout).not.to.include('\u001b')
      // PostgreSQL's keys contain no names, so only the list of all locks can be tested.
      const prefix = ctx.isPostgres ? [] : ['--prefix', 'for']
      const output = await cli('list', '--json', ...prefix, '--url', url())
      const { namespace, locks: json } = JSON.parse(output.stdout) as Listed
      expect(namespace).to.equal(ctx.database)
      expect(json).to.have.length(ctx.isPostgres ? 2 : 1)
      const foreign = json.find((one) => one.key === key('foreign'))
      expect(foreign).to.deep.include({ waiters: [], ...(!ctx.isPostgres && { name: 'foreign' }) })
      expect((await cli('list', '--waiting', '--url', url())).stdout).to.include(
        `No locks in namespace '${ctx.database}'.`,
      )
      await lock.release()
      await ctx.outsider.releaseLock(key('foreign'))
    })

    it('prints all of a long list to a slow reader', async () => {
      const locks = await ctx.service()
      const names = Array.from({ length: ctx.isPostgres ? 900 : 1_500 }, (_, i) => `order:${i}`)
      const held = await locks.acquire(names)
      const { stdout, code } = await cli('list', '--json', '--url', url())
      expect(code).to.equal(0)
      expect(stdout.length, 'more than a pipe takes at once').to.be.greaterThan(64 * 1_024)
      expect((JSON.parse(stdout) as Listed).locks.map((one) => one.key)).to.have.members(names.map((one) => key(one)))
      await held.release()
    })

    it('exits silently when the reader of its output is gone', async () => {
      const watch = new Cli(['list', '--watch', '--interval', '100ms', '--url', url()])
      await watch.printed(/No locks in namespace/)
      watch.closeOutput()
      const { code, stderr } = await watch.ended
      expect([code, stderr]).to.deep.equal([141, ''])
    })

    it('refreshes the list in place on a terminal, and leaves it as it was', async () => {
      const watch = new Cli(['list', '--watch', '--interval', '100ms', '--url', url()], { terminal: true })
      await watch.printed(/No locks in namespace/)
      await ctx.outsider.getLock(key('new'))
      await watch.printed(new RegExp(`\\x1b\\[H[^]*${ctx.isPostgres ? key('new') : 'new'} +connection`))
      await ctx.outsider.releaseLock(key('new'))
      const isGone = () => watch.stdout.lastIndexOf('No locks') > watch.stdout.lastIndexOf('connection')
      await until('the lock gone', isGone, { within: 60_000 })
      watch.type('\u0003')
      const { code, stdout } = await watch.ended
      expect(code).to.equal(0)
      expect(stdout.startsWith('\x1b[?1049h')).to.equal(true)
      expect(stdout.endsWith('\x1b[?25h\x1b[?1049l')).to.equal(true)
    })

    it('shows the holder of a lock', async () => {
      await ctx.outsider.getLock(key('asked'))
      const held = await cli('who', 'asked', '--url', url())
      expect(held.code).to.equal(0)
      expect(held.stdout).to.match(new RegExp(`^connection ${ctx.outsider.id}, ${ctx.server.username}@`))
      const exact = await cli('who', key('asked'), '--exact-name', '--json', '--url', url())
      expect(JSON.parse(exact.stdout)).to.have.nested.property('holder.connectionId', ctx.outsider.id)
      await ctx.outsider.releaseLock(key('asked'))
      const free = await cli('who', 'asked', '--url', url())
      expect([free.code, free.stderr]).to.deep.equal([1, ''])
      expect(free.stdout).to.match(new RegExp(`^'asked' is free in namespace '${ctx.database}'\\.\n`))
    })

    it('checks the server, by exit code too', async () => {
      const fine = await cli('check', '--url', url())
      expect([fine.code, fine.stderr]).to.deep.equal([0, ''])
      expect(fine.stdout).to.match(/^ok {2}the server, its version and its cluster\n(ok .*\n){13}\nNo problems found\./)
      expect(fine.stdout).to.include(`\nLocks are in namespace '${ctx.database}'.\n`)
    })

    it('kills the connection that holds a lock, after a confirmation', async () => {
      const victim = await ctx.connectOutsider()
      await victim.getLock(key('stuck'))
      const unsaid = await cli('release', 'stuck', '--url', url())
      expect(unsaid.code).to.equal(64)
      expect(unsaid.stderr).to.include('--kill-holder')
      const unasked = await cli('release', 'stuck', '--kill-holder', '--url', url())
      expect([unasked.code, unasked.stderr]).to.deep.equal([
        64,
        'named-lock: No terminal to ask for confirmation: pass --yes.\n',
      ])
      const refused = new Cli(['release', 'stuck', '--kill-holder', '--url', url()], { terminal: true })
      await refused.printed(new RegExp(`End connection ${victim.id}.*\\[y/N\\]`))
      refused.type('n\n')
      expect((await refused.ended).code).to.equal(1)
      expect(await ctx.outsider.holderOf(key('stuck'))).to.equal(victim.id)
      const done = await cli('release', 'stuck', '--kill-holder', '--yes', '--url', url())
      expect([done.code, done.stderr]).to.deep.equal([0, ''])
      expect(done.stdout).to.include(`Ended connection ${victim.id}`)
      expect(await ctx.outsider.holderOf(key('stuck'))).to.equal(null)
      expect((await cli('release', 'stuck', '--url', url())).stdout).to.match(/^'stuck' is free in namespace/)
    })

    it('kills the connection that holds a permit, the lowest one that is held', async () => {
      const services = [await ctx.service(), await ctx.service()]
      const held = await Promise.all(services.map((locks) => locks.acquire('permitted', { permits: 3 })))
      const [lowest, other] = held.sort((a, b) => a.permit! - b.permit!)
      const without = await cli('release', 'permitted', '--kill-holder', '--yes', '--url', url())
      const hint =
        /^'permitted' is free in namespace .*\n2 permits of 'permitted' are held: pass --permits <number> for them\.\n$/
      expect(without.stdout).to.match(hint)
      expect((await cli('who', 'permitted', '--url', url())).stdout).to.match(hint)
      const words = ['release', 'permitted', '--permits', '3', '--kill-holder', '--yes', '--url', url()]
      const { code, stdout, stderr } = await cli(...words)
      expect([code, stderr]).to.deep.equal([0, ''])
      expect(stdout).to.match(new RegExp(`^Ended .*, which held 'permitted' .*\\(permit ${lowest!.permit}\\)\\.$`, 'm'))
      await until('the loss', () => lowest!.signal.aborted)
      expect(await other!.verify()).to.equal(true)
      await other!.release()
      await lowest!.release().catch(() => undefined)
    })

    it('runs migrations in one process at a time, from a DataSource file of any kind', async () => {
      // Inside the project, where `typeorm` can be resolved.
      const folder = await mkdtemp(path.join(__dirname, 'tmp-'))
      try {
        const { kind: type, ...address } = ctx.address
        const source = `new DataSource({ ...${JSON.stringify({ type, ...address })}, migrations: [First1700000000000], synchronize: false })`
        const migration = `class First1700000000000 {
          async up(runner) { await runner.query('CREATE TABLE once (id int)'); await runner.query('${ctx.sql('SELECT SLEEP(0.3)', 'SELECT pg_sleep(0.3)')}') }
          async down() {}
        }`
        const cjs = `const { DataSource } = require('typeorm'); ${migration}; module.exports = { dataSource: ${source} }`
        const esm = `import { DataSource } from 'typeorm'; ${migration}; export default ${source}`
        const ts = `import { DataSource } from 'typeorm'; ${migration.replace('runner)', 'runner: any)')}; export const db: DataSource = ${source}`
        const files = { 'a.cjs': cjs, 'b.mjs': esm, 'c.ts': ts }
        for (const [name, text] of Object.entries(files)) await writeFile(path.join(folder, name), text)
        const all = Object.keys(files).map((name) => cli('migrate', '-d', path.join(folder, name)))
        const ends = await Promise.all(all)
        expect(ends.map(({ stderr }) => stderr)).to.deep.equal(['', '', ''])
        expect(ends.map(({ code }) => code)).to.deep.equal([0, 0, 0])
        // Only the result: neither TypeORM's SQL nor its messages about migrations.
        const texts = ends.map(({ stdout }) => stdout).sort()
        const none = 'No migrations are pending.\n'
        expect(texts).to.deep.equal(['1 migration applied: First1700000000000.\n', none, none])
      } finally {
        await rm(folder, { recursive: true })
      }
    })
  })

  it('explains a wrong call, without a stack trace', async () => {
    const wrong: [string[], number, RegExp][] = [
      [['bogus'], 64, /unknown command/],
      [['list'], 64, /No database given/],
      [['list', '--url', 'http://x'], 64, /must look like/],
      [['list', '-d', 'nowhere.js'], 64, /file not found/],
      [['list', '-d', 'package.json'], 64, /could not be loaded|exports no DataSource/],
      [['list', '--url', 'mysql://a:b@127.0.0.1:1/c'], 69, /Could not connect to the database/],
      [['run', 'x', '--timeout', 'soon', '--url', 'mysql://a:b@127.0.0.1:1/c', '--', 'true'], 64, /with a unit/],
      [['run', 'x', '--timeout', '5', '--url', 'mysql://a:b@127.0.0.1:1/c', '--', 'true'], 64, /5s or 5ms/],
      // No message suggests a number without a unit, which would be refused.
      ...['-5s', '5x', '0x10', '1e3', ''].map((time): [string[], number, RegExp] => [
        ['run', 'x', '--timeout', time, '--url', 'mysql://a:b@127.0.0.1:1/c', '--', 'true'],
        64,
        /Use a number with a unit: 500ms, 10s, 2m, 1h or 30d \(or 0\)\.\n/,
      ]),
      [['list', '--watch', '--interval', '0', '--url', 'mysql://a:b@127.0.0.1:1/c'], 64, /at least 100ms/],
      [['list', '--interval', '99ms', '--url', 'mysql://a:b@127.0.0.1:1/c'], 64, /at least 100ms/],
      [['migrate', '--url', 'mysql://a:b@127.0.0.1:1/c'], 64, /migrate needs --dataSource/],
      [['migrate'], 64, /migrate needs --dataSource/],
      [['run', 'x', '--url', 'mysql://a:b@127.0.0.1:1/c'], 64, /missing required argument/],
    ]
    for (const [args, code, pattern] of wrong) {
      const end = await cli(...args)
      expect(end.code, args.join(' ')).to.equal(code)
      expect(end.stdout, args.join(' ')).to.equal('')
      expect(end.stderr, args.join(' ')).to.match(pattern)
      expect(end.stderr, args.join(' ')).not.to.match(/\n +at /)
    }
  })

  it('prints help within 80 columns', async () => {
    // As a process prints it; the other commands in this one.
    const { code, stdout } = await cli('--help')
    expect(code).to.equal(0)
    const program = createProgram()
    const commands = [program, ...program.commands]
    const texts = commands.map((command) => {
      let text = ''
      command.configureOutput({ writeOut: (part) => (text += part), getOutHelpWidth: () => 80 })
      command.outputHelp()
      return text
    })
    expect(texts[0]).to.equal(stdout)
    for (const [at, text] of texts.entries()) {
      const wide = text.split('\n').filter((line) => line.length > 80)
      expect(wide, commands[at]?.name()).to.deep.equal([])
      expect(text, commands[at]?.name()).to.match(/^Usage: named-lock /)
    }
  })

  it('prints help with examples', async () => {
    for (const args of [['--help'], ['run', '--help'], ['list', '--help']]) {
      const { code, stdout } = await cli(...args)
      expect(code).to.equal(0)
      expect(stdout).to.include('Examples:')
    }
  })
})
