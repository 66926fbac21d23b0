import { expect } from 'chai'
import type { ChannelListener } from 'node:diagnostics_channel'
import { once } from 'node:events'
import { context, SpanStatusCode, trace } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics'
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
  type ReadableSpan,
} from '@opentelemetry/sdk-trace-base'
import { DataSource } from 'typeorm'
import {
  NamedLockClosedError,
  NamedLockLostError,
  NamedLockTimeoutError,
  WithNamedLock,
  type LeaderTerm,
  type Leadership,
  type NamedLockService,
} from '../../src/index.js'
import { instrumentNamedLocks } from '../../src/opentelemetry/index.js'
import { acquireChannel, type AcquireTrace } from '../../src/observe/tracing.js'
import { InMemoryNamedLockService } from '../../src/testing/index.js'
import { rejection } from '../support/rejection.js'
import { until } from '../support/until.js'

describe('instrumentNamedLocks', () => {
  const spans = new InMemorySpanExporter()
  const tracerProvider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(spans)] })
  let exporter: InMemoryMetricExporter
  let meterProvider: MeterProvider
  let locks: InMemoryNamedLockService
  let stop: () => void

  before(() => context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable()))
  after(() => context.disable())
  beforeEach(() => {
    spans.reset()
    exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE)
    meterProvider = new MeterProvider({
      readers: [new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 })],
    })
    locks = new InMemoryNamedLockService()
    const metricName = (name: string) => name.split(':')[0]
    stop = instrumentNamedLocks(locks, { tracerProvider, meterProvider, metricName })
  })
  afterEach(async () => {
    stop()
    await locks.close()
    await meterProvider.shutdown()
  })

  const spansOf = (name: string) => spans.getFinishedSpans().filter((span) => span.name === name)

  /** Sums, and the counts of histograms, by name of the metric and of the lock. */
  async function measured(): Promise<Record<string, number>> {
    await meterProvider.forceFlush()
    const all: Record<string, number> = {}
    for (const { scopeMetrics } of exporter.getMetrics().slice(-1)) {
      for (const { metrics } of scopeMetrics) {
        for (const { descriptor, dataPoints } of metrics) {
          for (const { attributes, value } of dataPoints) {
            const parts = [descriptor.name, attributes['named_lock.name'], attributes['named_lock.outcome']]
            const key = parts.filter(Boolean).join(' ')
            all[key] = typeof value === 'number' ? value : value.count
          }
        }
      }
    }
    return all
  }

  it('makes a span of the wait and one of the hold, both below the caller’s', async () => {
    const tracer = tracerProvider.getTracer('test')
    const caller = tracer.startSpan('caller')
    await context.with(trace.setSpan(context.active(), caller), () =>
      locks.withLock(['order:1', 'order:2'], async () => {
        expect(spansOf('named_lock.hold')).to.deep.equal([])
      }),
    )
    caller.end()
    const [wait] = spansOf('named_lock.acquire')
    expect(wait!.parentSpanContext?.spanId).to.equal(caller.spanContext().spanId)
    expect(wait!.attributes).to.include({
      'db.operation.name': 'GET_LOCK',
      'named_lock.name': 'order:1, order:2',
      'named_lock.timeout': 10,
      'named_lock.acquired': true,
    })
    const [hold, ...others] = spansOf('named_lock.hold')
    expect(others).to.deep.equal([])
    expect(hold!.attributes).to.include({ 'named_lock.name': 'order:1, order:2' })
    expect(hold!.parentSpanContext?.spanId).to.equal(caller.spanContext().spanId)
    expect(acquireChannel.start.hasSubscribers).to.equal(true)
  })

  it('makes a root span of each term of a leader, which is not the active one in its work', async () => {
    const tracer = tracerProvider.getTracer('test')
    const around = tracer.startSpan('around')
    const term = async (work: (term: LeaderTerm) => unknown): Promise<ReadableSpan> => {
      spans.reset()
      const lead = (): Leadership => locks.lead('leader:1', { restart: false }, work)
      const leadership = context.with(trace.setSpan(context.active(), around), lead)
      await leadership.ended.catch(() => {})
      await until('the span', () => spansOf('named_lock.term').length > 0)
      expect(spansOf('named_lock.term')).to.have.length(1)
      return spansOf('named_lock.term')[0]!
    }
    const active: unknown[] = []
    const returned = await term(async () => {
      active.push(trace.getSpan(context.active()))
      tracer.startSpan('tick').end()
      // Re-entered, it is the same hold still.
      await locks.withLock('leader:1', { reentrant: true }, () => active.push(trace.getSpan(context.active())))
      expect(spansOf('named_lock.term')).to.deep.equal([])
    })
    expect(active).to.deep.equal([undefined, undefined])
    expect(returned.parentSpanContext).to.equal(undefined)
    expect(returned.attributes).to.include({ 'named_lock.name': 'leader:1', 'named_lock.term.ended_by': 'return' })
    expect(returned.attributes['named_lock.key']).to.be.a('string')
    expect(returned.status.code).to.equal(SpanStatusCode.UNSET)
    expect(spansOf('tick')[0]!.parentSpanContext).to.equal(undefined)
    expect(spansOf('named_lock.hold')).to.deep.equal([])
    expect(spansOf('named_lock.acquire')).to.have.length(1)

    const failed = await term(() => Promise.reject(new TypeError('no')))
    expect(failed.attributes).to.include({ 'named_lock.term.ended_by': 'failure', 'error.type': 'TypeError' })
    expect(failed.status).to.deep.equal({ code: SpanStatusCode.ERROR, message: 'no' })

    const lost = await term(async ({ lock, signal }) => {
      locks.simulateLoss(lock.name)
      if (!signal.aborted) await once(signal, 'abort')
    })
    expect(lost.attributes).to.include({ 'named_lock.term.ended_by': 'loss', 'error.type': 'LOST' })
    expect(lost.status.code).to.equal(SpanStatusCode.ERROR)

    const resigned = locks.lead('leader:1', async ({ signal }) => void (await once(signal, 'abort')))
    spans.reset()
    await until('the leader', () => resigned.isLeader)
    await resigned.resign()
    const [last] = spansOf('named_lock.term')
    expect(last?.attributes).to.include({ 'named_lock.term.ended_by': 'resignation' })
    expect(last?.status.code).to.equal(SpanStatusCode.UNSET)
    around.end()
  })

  it('makes the span of the hold the active one in the work', async () => {
    const tracer = tracerProvider.getTracer('test')
    const statement = async () => tracer.startSpan('statement').end()
    const parents = () => spansOf('statement').map((span) => span.parentSpanContext?.spanId)
    const holds = () => spansOf('named_lock.hold').map((span) => span.spanContext().spanId)
    class Orders {
      constructor(readonly locks: NamedLockService) {}
      @WithNamedLock('order:4')
      async pay(): Promise<void> {
        await statement()
      }
    }
    await locks.withLock('order:1', async () => {
      await statement()
      // Re-entered, it is the same hold still.
      await locks.withLock('order:1', { reentrant: true }, statement)
    })
    expect(parents()).to.deep.equal([holds()[0], holds()[0]])
    await locks.tryWithLock('order:2', statement)
    await locks.transaction('order:3', statement)
    await new Orders(locks).pay()
    expect(parents().slice(2)).to.deep.equal(holds().slice(1))
    expect(holds()).to.have.length(4)
    expect(trace.getSpan(context.active())).to.equal(undefined)
    const failing = locks.withLock('order:1', () => {
      throw new RangeError('mine')
    })
    await rejection(failing, RangeError)
    expect(await locks.withLock('order:1', () => 'a value')).to.equal('a value')
  })

  it('says which permit a lock is', async () => {
    await using plain = new InMemoryNamedLockService()
    const stopThem = instrumentNamedLocks(plain, { tracerProvider, meterProvider })
    await plain.withLock('geocoder', { permits: 1 }, () => {})
    await plain.withLock('geocoder', () => {})
    await until('both spans', () => spansOf('named_lock.hold').length === 2)
    expect(spansOf('named_lock.hold').map(({ attributes }) => attributes['named_lock.permit'])).to.deep.equal([
      0,
      undefined,
    ])
    stopThem()
  })

  it('makes spans of locks that last as long as a transaction', async () => {
    const dataSource = await new DataSource({ type: 'sqljs' }).initialize()
    await using sqlLocks = new InMemoryNamedLockService(dataSource)
    const stopThem = instrumentNamedLocks(sqlLocks, { tracerProvider, meterProvider })
    await dataSource.transaction(async (manager) => {
      await sqlLocks.lockTransaction(manager, 'stock')
      expect(spansOf('named_lock.acquire')).to.have.length(1)
      expect(spansOf('named_lock.hold')).to.have.length(0)
    })
    await until('the release', () => spansOf('named_lock.hold').length === 1)
    expect(spansOf('named_lock.acquire')[0]!.attributes).to.include({ 'named_lock.acquired': true })
    expect(spansOf('named_lock.hold')[0]!.attributes).to.include({ 'named_lock.name': 'stock' })
    stopThem()
    await dataSource.destroy()
  })

  it('has no effect on the lock when it fails', async () => {
    const warnings: string[] = []
    const { emitWarning } = process
    process.emitWarning = (warning: string | Error) => void warnings.push(String(warning))
    const no = () => {
      throw new Error('no telemetry')
    }
    const stopIt = instrumentNamedLocks(locks, {
      meterProvider,
      metricName: no,
      tracerProvider: { getTracer: () => ({ startSpan: no, startActiveSpan: no }) },
    })
    const breakWork = (acquire: AcquireTrace) => (acquire.around = no)
    acquireChannel.asyncEnd.subscribe(breakWork as ChannelListener)
    try {
      expect(await locks.withLock('a', () => 'a value')).to.equal('a value')
      expect(warnings.filter((warning) => warning.includes('no telemetry'))).to.have.length.greaterThan(2)
    } finally {
      stopIt()
      acquireChannel.asyncEnd.unsubscribe(breakWork as ChannelListener)
      process.emitWarning = emitWarning
    }
  })

  it('tells waits that failed and locks that were lost', async () => {
    const elsewhere = locks.holdElsewhere('a')
    await rejection(locks.acquire('a', { timeout: 10 }), NamedLockTimeoutError)
    expect(spansOf('named_lock.acquire')[0]!.attributes).to.include({
      'named_lock.acquired': false,
      'error.type': 'TIMEOUT',
    })
    elsewhere.release()
    const work = locks.withLock('a', async (lock) => {
      locks.simulateLoss('a')
      await until('the loss', () => !lock.isHeld)
    })
    await rejection(work, NamedLockLostError)
    const [hold] = spansOf('named_lock.hold')
    expect(hold!.status.code).to.equal(SpanStatusCode.ERROR)
    expect(hold!.attributes).to.include({ 'error.type': 'LOST' })
    locks.holdElsewhere('b')
    const waiting = rejection(locks.acquire('b'), NamedLockClosedError)
    await until('the wait', async () => (await measured())['named_lock.pending b'] === 1)
    await locks.close()
    await waiting
    expect(spansOf('named_lock.acquire').at(-1)!.attributes).to.include({ 'error.type': 'CLOSED' })
    expect((await measured())['named_lock.pending b']).to.equal(0)
  })

  it('counts and measures, under the configured names', async () => {
    const held = await locks.acquire('order:1')
    const next = locks.acquire('order:1')
    expect(await measured()).to.include({ 'named_lock.held order': 1, 'named_lock.pending order': 1 })
    await held.release()
    await (await next).release()
    const elsewhere = locks.holdElsewhere('order:2')
    await rejection(locks.acquire('order:2', { timeout: 10 }), NamedLockTimeoutError)
    elsewhere.release()
    const lost = await locks.acquire('order:3')
    locks.simulateLoss('order:3')
    await until('the loss', () => !lost.isHeld)
    expect(await measured()).to.deep.equal({
      'named_lock.wait.duration order acquired': 3,
      'named_lock.wait.duration order timed_out': 1,
      'named_lock.hold.duration order': 2,
      'named_lock.timeouts order': 1,
      'named_lock.losses order': 1,
      'named_lock.hand_overs order': 1,
      'named_lock.held order': 0,
      'named_lock.pending order': 0,
    })
  })

  it('stops, and leaves no listener', async () => {
    stop()
    expect(acquireChannel.start.hasSubscribers).to.equal(false)
    await locks.withLock('a', async () => {})
    expect(spans.getFinishedSpans()).to.deep.equal([])
    expect(await measured()).to.deep.equal({})
  })

  it('does not mix services up', async () => {
    await using other = new InMemoryNamedLockService()
    await other.withLock('a', async () => {})
    expect(spans.getFinishedSpans()).to.deep.equal([])
  })
})
