import { Inject, Injectable, Scope } from '@nestjs/common'
import { HealthCheckService, TerminusModule } from '@nestjs/terminus'
import { TypeOrmModule } from '@nestjs/typeorm'
import { expect } from 'chai'
import { once } from 'node:events'
import { NamedLock, NamedLockConfigurationError, NamedLockService } from '../../src/index.js'
import { NamedLockHealthIndicator, NamedLockModule, WhileLeader } from '../../src/nestjs/index.js'
import { forEachDialect } from '../support/conformance.js'
import { Figure } from '../support/figure.js'
import { rejection } from '../support/rejection.js'
import { until } from '../support/until.js'
import { database, optionsFor, start, withApp } from './support/nest-app.js'

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

/** A decorator as of a library: it replaces the method. */
function wrapped(_target: object, _key: string, descriptor: PropertyDescriptor): void {
  const method = descriptor.value as (...args: unknown[]) => unknown
  descriptor.value = function (...args: unknown[]) {
    return method.apply(this, args)
  }
}

abstract class Base {
  constructor(readonly id: string) {}

  @wrapped
  @WhileLeader('made', { restart: '100ms' })
  async run(term: { signal: AbortSignal }): Promise<void> {
    leaders.push(this.id)
    if (!term.signal.aborted) await once(term.signal, 'abort')
    ended.push(this.id)
  }
}
class Made extends Base {}
class Overriding extends Base {
  override async run(): Promise<void> {
    leaders.push(this.id)
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

    it('runs the methods of providers however they and the methods were made, in one application after the other', async () => {
      const value = new Made('value')
      const providers = [
        { provide: 'value', useValue: value },
        { provide: 'alias', useExisting: 'value' },
        { provide: 'overriding', useFactory: () => new Overriding('never'), inject: [] },
      ]
      for (const terms of [1, 2]) {
        await withApp({ imports: [database(ctx), NamedLockModule.forRoot()], providers }, async () => {
          await until('a leader', () => leaders.length === terms)
        })
        expect(ended).to.have.length(terms)
      }
      const factory = { provide: 'factory', useFactory: async () => new Made('factory') }
      await withApp({ imports: [database(ctx), NamedLockModule.forRoot()], providers: [factory] }, async () => {
        await until('a leader', () => leaders.length === 3)
      })
      expect(leaders).to.deep.equal(['value', 'value', 'factory'])
    })

    it('refuses the methods of providers without a lasting instance', async () => {
      for (const scope of [Scope.REQUEST, Scope.TRANSIENT]) {
        const short = { provide: Scheduler, useClass: Scheduler, scope }
        const dataSourceFactory = () => ctx.dataSource() // destroyed after the test: the application is never there to close it
        const source = TypeOrmModule.forRootAsync({ useFactory: () => optionsFor(ctx), dataSourceFactory })
        const starting = start({ imports: [source, NamedLockModule.forRoot()], providers: [short] })
        expect((await rejection(starting, NamedLockConfigurationError)).message).to.match(/Scheduler\.run is/)
      }
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
    const decorate = WhileLeader('a') as unknown as (...args: unknown[]) => void
    expect(() => decorate(class {}, 'run', { value: async () => {} })).to.throw(/for methods of providers/)
    expect(() => WhileLeader('a', { restrat: 1 } as any)).to.throw(/@WhileLeader: there is no option 'restrat'/)
  })
})
