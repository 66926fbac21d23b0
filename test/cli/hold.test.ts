import { expect } from 'chai'
import { execFileSync } from 'node:child_process'
import { Cli, endClis } from '../support/cli.js'
import { forEachFamily } from '../support/conformance.js'
import { familyKinds } from '../support/servers.js'
import { until } from '../support/until.js'

describe('named-lock hold', function () {
  this.timeout(180_000)

  forEachFamily(
    (ctx) => {
      const url = () => ctx.server.url.replace(/[^/]*$/, ctx.database)
      const start = (name: string, ...flags: string[]) => new Cli(['hold', name, '--url', url(), ...flags])
      const holderOf = (name: string) => ctx.outsider.holderOf(ctx.keyOf(name))

      afterEach(endClis)

      it('prints a line that a shell can evaluate, and holds the lock until a signal', async () => {
        const held = start("it's")
        await held.printed(/\n/)
        const script = `${held.stdout}printf '%s|%s|%s' "$NAMED_LOCK_NAME" "$NAMED_LOCK_KEY" "$NAMED_LOCK_FENCING_TOKEN"`
        const seen = execFileSync('sh', ['-c', script], { encoding: 'utf8' }).split('|')
        expect(seen.slice(0, 2)).to.deep.equal(["it's", ctx.keyOf("it's")])
        expect(seen[2]).to.match(/^\d+$/)
        expect(await holderOf("it's")).to.be.a('string')
        const busy = await start("it's", '--timeout', '0').ended
        expect([busy.code, busy.stdout]).to.deep.equal([75, ''])
        held.send('SIGINT')
        const { code, stdout, stderr } = await held.ended
        expect([code, stdout.match(/\n/g)?.length, stderr]).to.deep.equal([0, 1, ''])
        expect(await holderOf("it's")).to.equal(null)
      })

      it('holds the lock until the end of a pipe, with permits and JSON', async () => {
        const held = start('pool', '--permits', '2', '--json')
        await held.printed(/\n/)
        type Line = { permit: number; fencingToken: string } & Record<string, unknown>
        const { fencingToken, permit, ...line } = JSON.parse(held.stdout) as Line
        expect(permit).to.be.oneOf([0, 1]) // processes begin their search at different permits
        const key = `${ctx.keyOf('pool')}~p${permit}`
        expect(line).to.deep.equal({ namespace: ctx.database, name: 'pool', key })
        expect(fencingToken).to.match(/^\d+$/)
        expect(await ctx.outsider.holderOf(key)).to.be.a('string')
        held.endInput()
        expect((await held.ended).code).to.equal(0)
        expect(await ctx.outsider.holderOf(key)).to.equal(null)
      })

      it('ends with 79 and a message when the lock is lost', async () => {
        const held = start('lost')
        await held.printed(/\n/)
        await ctx.outsider.kill((await holderOf('lost')) as string)
        const { code, stderr } = await held.ended
        expect(code).to.equal(79)
        expect(stderr).to.match(/^named-lock: Lock 'lost' was lost: the .*\n$/)
      })

      it('gives the lock to the next one when its process is killed', async () => {
        const held = start('killed')
        await held.printed(/\n/)
        held.send('SIGKILL')
        await held.ended
        await until('the release', async () => (await holderOf('killed')) === null)
      })

      it('is run with a command', async () => {
        const end = await start('command', '--', 'sh', '-c', 'echo "$NAMED_LOCK_NAME"; exit 7').ended
        expect([end.code, end.stdout]).to.deep.equal([7, 'command\n'])
        const wrong = await start('command', '--json', '--', 'true').ended
        expect(wrong.code).to.equal(64)
      })
    },
    familyKinds.slice(0, 1),
  )
})
