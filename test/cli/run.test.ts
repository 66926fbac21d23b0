import { expect } from 'chai'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Cli, cli, endClis } from '../support/cli.js'
import { forEachFamily } from '../support/conformance.js'
import { familyKinds } from '../support/servers.js'
import { until } from '../support/until.js'

describe('named-lock run', function () {
  this.timeout(180_000)

  forEachFamily(
    (ctx) => {
      let folder: string
      const url = () => ctx.server.url.replace(/[^/]*$/, ctx.database)
      const key = (name: string) => ctx.keyOf(name)
      const file = (name: string) => path.join(folder, name)
      const lines = async (name: string) => (await readFile(file(name), 'utf8').catch(() => '')).trim().split('\n')
      const start = (name: string, script: string, ...flags: string[]) =>
        new Cli(['run', name, '--url', url(), ...flags, '--', 'sh', '-c', script])

      beforeEach(async () => {
        folder = await mkdtemp(path.join(tmpdir(), 'named-lock-cli-'))
      })
      afterEach(async () => {
        await endClis()
        await rm(folder, { recursive: true })
      })

      it('holds the lock while the command runs, and ends with its exit code', async () => {
        const run = start('job', `echo "$NAMED_LOCK_NAME $NAMED_LOCK_KEY $NAMED_LOCK_FENCING_TOKEN"; read word; exit 7`)
        await run.printed(/job/)
        expect(await ctx.outsider.holderOf(key('job'))).to.be.a('string')
        run.type('go\n')
        const { code, stdout, stderr } = await run.ended
        expect(code).to.equal(7)
        expect(stdout).to.match(new RegExp(`^job ${key('job')} \\d+\n$`))
        expect(stderr).to.equal('')
        expect(await ctx.outsider.holderOf(key('job'))).to.equal(null)
      })

      it('lets so many commands run at a time with --permits, and shows their permits', async () => {
        const hold = 'echo "permit $NAMED_LOCK_PERMIT $NAMED_LOCK_KEY"; read word'
        const runs = [1, 2].map(() => start('pool', hold, '--permits', '2'))
        await Promise.all(runs.map((run) => run.printed(/permit [01] /)))
        const third = await start('pool', 'echo ran', '--permits', '2', '--timeout', '0').ended
        expect(third.code).to.equal(75)
        expect(third.stdout).to.equal('')
        const wrong = await start('pool', 'echo ran', '--permits', '0').ended
        expect(wrong.code).to.equal(64)
        expect(wrong.stderr).to.match(/from 1 to 1000/)
        const who = await cli('who', 'pool', '--permits', '2', '--url', url())
        expect(who.code).to.equal(0)
        expect(who.stdout).to.match(/^permit [01]: /)
        expect((await cli('who', 'pool', '--url', url())).code, 'the name itself').to.equal(1)
        const list = await cli('list', '--url', url())
        expect(list.stdout).to.match(/pool \[0\].*\n.*pool \[1\]/)
        for (const run of runs) run.type('go\n')
        const ends = await Promise.all(runs.map(({ ended }) => ended))
        expect(ends.map(({ stdout }) => stdout).sort()).to.deep.equal(
          [0, 1].map((permit) => `permit ${permit} ${key('pool')}~p${permit}\n`),
        )
      })

      it('lets commands read together with --mode read, and one write alone, and shows the mode', async function () {
        this.timeout(60_000) // seven commands
        const hold = 'echo inside; read word'
        const readers = [1, 2].map(() => start('prices', hold, '--mode', 'read'))
        await Promise.all(readers.map((run) => run.printed(/inside/)))
        const writer = start('prices', hold, '--mode', 'write', '--timeout', '60s')
        const list = await cli('list', '--url', url())
        expect(list.stdout).to.match(/reads: .*connection .* and 1 more/)
        expect((await cli('who', 'prices', '--url', url())).stdout).to.match(/^reads: .*connection /)
        expect(writer.stdout).to.equal('')
        for (const run of readers) run.type('go\n')
        await writer.printed(/inside/)
        const held = await cli('who', 'prices', '--json', '--url', url())
        // A writer's lock is an ordinary one on PostgreSQL.
        expect(JSON.parse(held.stdout).holder.mode).to.equal(ctx.isPostgres ? undefined : 'write')
        writer.type('go\n')
        for (const { ended } of [...readers, writer]) expect((await ended).code).to.equal(0)
        const wrong = await start('prices', 'echo ran', '--mode', 'append').ended
        expect([wrong.code, wrong.stdout]).to.deep.equal([64, ''])
      })

      it('ends with 75 or skips when the lock is busy, and does not run the command', async () => {
        await ctx.outsider.getLock(key('busy'))
        const script = `touch ${file('ran')}`
        const failed = await start('busy', script, '--timeout', '0').ended
        expect(failed.code).to.equal(75)
        expect(failed.stderr).to.match(/^named-lock: .*'busy'.*\n$/)
        const late = await start('busy', script, '--timeout', '300ms').ended
        expect(late.code).to.equal(75)
        const skipped = await start('busy', script, '--timeout', '0', '--on-busy', 'skip').ended
        expect(skipped).to.deep.equal({ code: 0, stdout: '', stderr: '' })
        expect(await lines('ran')).to.deep.equal([''])
        await ctx.outsider.releaseLock(key('busy'))
      })

      it('runs with --once what has not ended with 0 before, and again after --every', async () => {
        const script = `echo run >> ${file('log')}`
        await ctx.outsider.query(`DROP TABLE IF EXISTS ${ctx.database}.named_lock_done`)
        expect((await start('once', `${script}; exit 3`, '--once').ended).code).to.equal(3)
        const ends = await Promise.all([1, 2].map(() => start('once', script, '--once').ended))
        expect(ends.map(({ code }) => code)).to.deep.equal([0, 0])
        const { code, stderr } = await start('once', script, '--once', '--every', '20h').ended
        expect([code, stderr.trim()].join(' ')).to.match(/^0 named-lock: 'once' is done, since 2.*Z\.$/)
        expect(await lines('log')).to.deep.equal(['run', 'run'])
        expect((await start('once', script, '--once', '--every', '1ms').ended).code).to.equal(0)
        expect(await lines('log')).to.deep.equal(['run', 'run', 'run'])
        expect((await start('once', script, '--every', '1h').ended).stderr).to.match(/--every needs --once/)
      })

      it('on three machines runs the command on one at a time', async () => {
        const script = `echo in >> ${file('log')}; sleep 0.3; echo out >> ${file('log')}`
        const ends = await Promise.all([1, 2, 3].map(() => start('fleet', script, '--timeout', '30s').ended))
        expect(ends.map(({ code }) => code)).to.deep.equal([0, 0, 0])
        expect(await lines('log')).to.deep.equal(['in', 'out', 'in', 'out', 'in', 'out'])
      })

      it('lets the next one in when its process is killed, and the command ends with it', async () => {
        const script = `trap 'echo ended >> ${file('log')}; exit' TERM; echo in; while :; do sleep 0.1; done`
        const first = start('killed', script)
        await first.printed(/in/)
        const next = start('killed', 'echo next')
        first.send('SIGKILL')
        const { code, stdout } = await next.ended
        expect([code, stdout]).to.deep.equal([0, 'next\n'])
        await until('the end of the command', async () => (await lines('log'))[0] === 'ended', { within: 60_000 })
      })

      it('forwards SIGINT to the command, and releases the lock', async () => {
        const run = start('stopped', `trap 'echo interrupted; exit 9' INT; echo in; while :; do sleep 0.1; done`)
        await run.printed(/in/)
        run.send('SIGINT')
        const { code, stdout } = await run.ended
        expect([code, stdout]).to.deep.equal([9, 'in\ninterrupted\n'])
        expect(await ctx.outsider.holderOf(key('stopped'))).to.equal(null)
      })

      it('ends with the exit code of a shell when a signal ended the command', async () => {
        expect((await start('signalled', 'kill -KILL $$').ended).code).to.equal(137)
      })

      it('stops waiting on a signal', async () => {
        await ctx.outsider.getLock(key('waited'))
        const run = start('waited', 'true', '--timeout', 'Infinity')
        const isWaiting = async () => (await ctx.outsider.userLocksOf(ctx.database)).length > 0
        await until('the waiter', isWaiting, { within: 60_000 })
        run.send('SIGTERM')
        expect((await run.ended).code).to.equal(143)
        await ctx.outsider.releaseLock(key('waited'))
      })

      it('sends SIGTERM to the command within a second when the lock is lost, and ends with 79', async () => {
        const script = `trap 'echo told; exit 0' TERM; echo in; while :; do sleep 0.05; done`
        const run = start('lost', script)
        await run.printed(/in/)
        await ctx.outsider.kill((await ctx.outsider.holderOf(key('lost'))) as string)
        // At once: the next keepalive would be due in ten seconds.
        await run.printed(/told/, 8_000)
        const { code, stderr } = await run.ended
        expect(code).to.equal(79)
        expect(stderr).to.match(/^named-lock: Lock 'lost' was lost: .*\n/)
      })

      it('kills a command that ignores SIGTERM', async () => {
        const run = start('deaf', `trap '' TERM; echo in; while :; do sleep 0.05; done`, '--kill-after', '200ms')
        await run.printed(/in/)
        await ctx.outsider.kill((await ctx.outsider.holderOf(key('deaf'))) as string)
        expect((await run.ended).code).to.equal(79)
      })

      it('holds the lock for the minimum time, or until a signal arrives', async () => {
        const run = start('short', `echo done`, '--hold-at-least', '1h')
        await run.printed(/done/)
        // Longer than the end of the command can take.
        const other = await start('short', 'true', '--timeout', '0').ended
        expect(other.code).to.equal(75)
        run.send('SIGTERM')
        expect((await run.ended).code).to.equal(0)
        expect(await ctx.outsider.holderOf(key('short'))).to.equal(null)
        const startedAt = performance.now()
        expect((await start('short', 'true', '--hold-at-least', '3s').ended).code).to.equal(0)
        expect(performance.now() - startedAt).to.be.greaterThan(3_000)
      })

      it('does not hold the lock longer when a signal has ended the command', async () => {
        const script = `trap 'exit 3' TERM; echo in; while :; do sleep 0.1; done`
        const run = start('ended', script, '--hold-at-least', '1h')
        await run.printed(/in/)
        run.send('SIGTERM')
        expect((await run.ended).code).to.equal(3)
      })

      it('leaves Ctrl-C on a terminal to the command, and releases the lock', async () => {
        const script = `trap 'echo stopped; exit 9' INT; echo in; while :; do sleep 0.1; done`
        const run = new Cli(['run', 'keyed', '--url', url(), 'sh', '-c', script], { terminal: true })
        await run.printed(/in\r\n/)
        run.type('\u0003')
        const { code, stdout } = await run.ended
        expect(code).to.equal(9)
        expect(stdout.match(/stopped/g)).to.have.length(1)
        expect(await ctx.outsider.holderOf(key('keyed'))).to.equal(null)
      })

      it('explains why a command cannot be started', async () => {
        const wrong: [string, number, RegExp][] = [
          [
            'no-such-command',
            127,
            /^named-lock: 'no-such-command' could not be started: there is no such command.*\n$/,
          ],
          [folder, 126, /^named-lock: .* could not be started: it is not executable\.\n$/],
          ['', 64, /^named-lock: The command is empty\.\n$/],
        ]
        for (const [command, code, pattern] of wrong) {
          const end = await cli('run', 'none', '--url', url(), '--', command)
          expect(end.code).to.equal(code)
          expect(end.stderr).to.match(pattern)
        }
      })

      it('shows on a terminal the holder of the lock that it waits for', async () => {
        await ctx.outsider.getLock(key('shown'))
        const run = new Cli(['run', 'shown', '--url', url(), '--', 'echo', 'it runs'], { terminal: true })
        await run.printed(new RegExp(`Waiting for 'shown' since \\d+s: held by connection ${ctx.outsider.id}`))
        await ctx.outsider.releaseLock(key('shown'))
        const { code, stdout } = await run.ended
        expect(code).to.equal(0)
        // The line is erased before the command gets the terminal.
        // eslint-disable-next-line no-control-regex
        expect(stdout).to.match(/\r\x1b\[Kit runs\r\n$/)
      })
    },
    familyKinds.slice(0, 1),
  )
})
