import { Inject, Injectable } from '@nestjs/common'
import { HealthCheckService, TerminusModule } from '@nestjs/terminus'
import { expect } from 'chai'
import { once } from 'node:events'
import { NamedLock, NamedLockService } from '../../src/index.js'
import { NamedLockHealthIndicator, NamedLockModule, WhileLeader } from '../../src/nestjs/index.js'
import { forEachDialect } from '../support/conformance.js'
import { Figure } from '../support/figure.js'
import { until } from '../support/until.js'
import { database, start, withApp } from './support/nest-app.js'

let leaders: string[] = []
let ended: string[] = []

@Injectable()
class Scheduler {
  id = Math.random().toString(36).slice(2)
  constructor(@Inject(NamedLockService) readonly locks: NamedLockService) {}

  @WhileLeader('scheduler', { restart: '100ms' })
  async run(term: { signal: AbortSignal; isLeader: boolean }): Promise<void> {
    expect(NamedLock.current('scheduler')?.isHeld).to.equal(true)
    leaders.push(this.id)
    if (!term.signal.aborted) await once(term.signal, 'abort')
    ended.push(this.id)
  }
}

const afterShutdown = new Figure('a leader after the shutdown of another application', 500)

describe('@WhileLeader and the health indicator', () => {
  after(() => afterShutdown.expectKept())

  beforeEach(() => {
    leaders = []
    ended = []
  })

  forEachDialect((ctx) => {
    const module = () => ({ imports: [database(ctx), NamedLockModule.forRoot()], providers: [Scheduler] })

    it('runs the method of one application, and of the other when that shuts down', async () => {
      const first = await start(module())
      await until('a leader', () => leaders.length === 1)
      const second = await start(module())
      const [one, two] = [first.get(Scheduler).id, second.get(Scheduler).id]
      expect(leaders).to.deep.equal([one])
      const from = performance.now()
      const closed = first.close()
      await until('the next leader', () => leaders.length === 2, { within: 10_000, every: 5 })
      afterShutdown.add(performance.now() - from)
      expect(ended).to.deep.equal([one])
      await closed
      expect(leaders).to.deep.equal([one, two])
      await second.close()
      expect(ended).to.deep.equal([one, two])
    })

    it('campaigns once where the module is imported twice', async () => {
      const imports = [database(ctx), NamedLockModule.forRoot(), NamedLockModule.forRoot()]
      await withApp({ imports, providers: [Scheduler] }, async () => {
        await until('a leader', () => leaders.length === 1)
      })
      expect(ended).to.have.length(1)
    })

    it('is up while the locks answer, and down with the reason', () =>
      withApp(
        { imports: [database(ctx), NamedLockModule.forRoot(), TerminusModule.forRoot({ logger: false })] },
        async (app) => {
          const indicator = app.get(NamedLockHealthIndicator)
          const health = app.get(HealthCheckService)
          const up = await health.check([() => indicator.pingCheck('locks', { timeout: '5s' })])
          expect(up.status).to.equal('ok')
          expect(up.details['locks']?.status).to.equal('up')
          expect((await indicator.isHealthy()).locks.status).to.equal('up')
          await app.get(NamedLockService).close()
          const down = await indicator.pingCheck('locks')
          expect(down.locks).to.include({ status: 'down', code: 'CLOSED' })
          const error = await health.check([() => indicator.pingCheck('locks')]).catch((failure: unknown) => failure)
          expect((error as { getStatus(): number }).getStatus()).to.equal(503)
        },
      ))
  })

  it('refuses wrong options where the class is defined', () => {
    expect(() => WhileLeader('', {})).to.throw(/name/)
    expect(() => WhileLeader('a', { restrat: 1 } as any)).to.throw(/@WhileLeader: there is no option 'restrat'/)
  })
})
