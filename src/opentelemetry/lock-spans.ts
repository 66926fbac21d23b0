import {
  context,
  SpanKind,
  SpanStatusCode,
  type Attributes,
  type Context,
  type Span,
  type Tracer,
} from '@opentelemetry/api'
import type { NamedLockEvents } from '../events.js'
import type { NamedLockService } from '../named-lock-service.js'
import { acquireChannel, type AcquireTrace } from '../tracing.js'

/** One span from the call to the lock, and one from the lock to its release: siblings below the caller's. */
export class LockSpans {
  readonly #locks: NamedLockService<any>
  readonly #tracer: Tracer
  readonly #attributes: Attributes
  readonly #waits = new WeakMap<AcquireTrace, { span: Span; parent: Context }>()
  /** By key: a process holds it once at a time, however often the scope is re-entered. */
  readonly #holds = new Map<string, Span>()

  constructor(locks: NamedLockService<any>, tracer: Tracer, attributes: Attributes) {
    this.#locks = locks
    this.#tracer = tracer
    this.#attributes = attributes
    acquireChannel.subscribe(this.#subscribers)
    locks.on('released', this.#released)
    locks.on('lost', this.#lost)
  }

  stop(): void {
    acquireChannel.unsubscribe(this.#subscribers)
    this.#locks.off('released', this.#released)
    this.#locks.off('lost', this.#lost)
  }

  readonly #subscribers = {
    start: (trace: AcquireTrace): void => {
      if (trace.service !== this.#locks) return
      const parent = context.active()
      const attributes = {
        ...this.#attributes,
        'db.operation.name': 'GET_LOCK',
        'named_lock.name': trace.names.join(', '),
        ...(trace.timeout < Infinity && { 'named_lock.timeout': trace.timeout / 1000 }),
      }
      const span = this.#tracer.startSpan('named_lock.acquire', { kind: SpanKind.CLIENT, attributes }, parent)
      this.#waits.set(trace, { span, parent })
    },
    end: (): void => {},
    asyncStart: (): void => {},
    asyncEnd: (trace: AcquireTrace): void => {
      const wait = this.#waits.get(trace)
      if (!wait) return
      this.#waits.delete(trace)
      this.#endWait(wait.span, trace)
      if (trace.lock) this.#startHolds(trace.lock.keys, trace.names, wait.parent)
    },
    error: (trace: AcquireTrace): void => {
      const wait = this.#waits.get(trace)
      if (!wait) return
      this.#waits.delete(trace)
      this.#endWait(wait.span, trace)
    },
  }

  #endWait(span: Span, { lock, error }: AcquireTrace): void {
    span.setAttribute('named_lock.acquired', lock !== undefined)
    if (error !== undefined) fail(span, error)
    else if (!lock) span.setAttribute('error.type', 'TIMEOUT')
    span.end()
  }

  #startHolds(keys: readonly string[], names: readonly string[], parent: Context): void {
    keys.forEach((key, at) => {
      if (this.#holds.has(key)) return
      const attributes = { ...this.#attributes, 'named_lock.name': names[at] ?? '', 'named_lock.key': key }
      this.#holds.set(key, this.#tracer.startSpan('named_lock.hold', { attributes }, parent))
    })
  }

  readonly #released = ({ key }: NamedLockEvents['released'][0]): void => this.#endHold(key)

  readonly #lost = ({ key, error }: NamedLockEvents['lost'][0]): void => {
    const span = this.#holds.get(key)
    if (span) fail(span, error)
    this.#endHold(key)
  }

  #endHold(key: string): void {
    this.#holds.get(key)?.end()
    this.#holds.delete(key)
  }
}

function fail(span: Span, error: unknown): void {
  const { code, name, message } = error as { code?: string; name?: string; message?: string }
  span.recordException(error as Error)
  span.setAttribute('error.type', code ?? name ?? 'Error')
  span.setStatus({ code: SpanStatusCode.ERROR, ...(message !== undefined && { message }) })
}
