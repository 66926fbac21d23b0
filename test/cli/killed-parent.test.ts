import { expect } from 'chai'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { nodeCompiled } from '../support/compiled.js'
import { until } from '../support/until.js'

const fixture = path.join(__dirname, '../support/fixtures/run-command.ts')
const [node, ...loader] = nodeCompiled

/*
 * A command that outlives its killed parent runs beside the next holder of the lock. Each command here runs for ten
 * minutes, unless it is ended.
 */
describe('a command whose named-lock is killed', function () {
  this.timeout(120_000)
  let folder: string
  const file = (name: string) => path.join(folder, name)
  const idIn = async (name: string) => Number(await readFile(file(name), 'utf8').catch(() => '0'))

  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'named-lock-killed-'))
  })
  afterEach(async () => {
    for (let at = 0; at < 20; at++) kill(await idIn(String(at)))
    await rm(folder, { recursive: true })
  })

  function start(script: string, diesAfter?: number) {
    const words = ['sh', '-c', `${script} exec sleep 600`]
    const child = spawn(node, [...loader, fixture, JSON.stringify({ words, diesAfter })], {
      stdio: ['pipe', 'pipe', 'ignore'],
    })
    return { child, exited: once(child, 'exit'), printed: once(child.stdout, 'data').then(String) }
  }

  for (const [what, script, diesAfter] of [
    ['ends', '', 0],
    ['is killed if it ignores SIGTERM', "trap '' TERM;", 1_000],
  ] as const) {
    it(`${what}, although its process id could not be noted any more`, async function () {
      if (process.platform !== 'linux') this.skip()
      const { exited, printed } = start(script, diesAfter)
      const id = Number(await printed)
      expect(id).to.be.greaterThan(0)
      try {
        await exited
        await until('the end of the command', () => !isAlive(id), { within: 30_000 })
      } finally {
        kill(id)
      }
    })
  }

  it('ends, at whichever moment that is', async () => {
    const moments = Array.from({ length: 12 }, () => Math.random() * 15)
    const names = moments.map((_, at) => String(at))
    for (let at = 0; at < moments.length; at += 3) {
      await Promise.all(
        names.slice(at, at + 3).map(async (name, beside) => {
          const { child, exited, printed } = start(`echo $$ > ${file(name)};`)
          await printed
          await sleep(moments[at + beside])
          child.kill('SIGKILL')
          await exited
        }),
      )
    }
    const left = async () => (await Promise.all(names.map(idIn))).filter((id) => id > 0 && isAlive(id))
    await until('the end of the commands', async () => (await left()).length === 0, { within: 20_000 })
    // A command that was only forked when its parent died has not written its id yet.
    await sleep(500)
    expect(await left(), `moments: ${moments.join(', ')} ms`).to.deep.equal([])
  })
})

function isAlive(id: number): boolean {
  try {
    process.kill(id, 0)
    return true
  } catch {
    return false
  }
}

function kill(id: number): void {
  if (id > 0 && isAlive(id)) process.kill(id, 'SIGKILL')
}
