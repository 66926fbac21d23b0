import {
  context,
  SpanKind,
  SpanStatusCode,
  trace,
  type Attributes,
  type Context,
  type Span,
  type Tracer,
} from '@opentelemetry/api'
import type { NamedLockEvents } from '../observe/events.js'
import type { NamedLockService } from '../service/named-lock-service.js'
import { acquireChannel, type AcquireTrace } from '../observe/tracing.js'
import { harmless } from './harmless.js'

/** The span of the locks that one call acquired. */
interface Hold {
  readonly span: Span
  /** The keys that are still held; the span ends when this set is empty. */
  readonly keys: Set<string>
}

/**
 * One span from the call to the acquisition, and one from the acquisition to the release: siblings below the caller's
 * span. The second is active during the work of a scoped call, so spans of the work become its children.
 *
 * A term of a leader has one span instead. It is a root, and never active: a term may last for days, and everything that the leader does would
 * be one trace, below a span that is exported last, or never.
 */
export class LockSpans {
  readonly #locks: NamedLockService<any>
  readonly #tracer: Tracer
  readonly #attributes: Attributes
  readonly #waits = new WeakMap<AcquireTrace, { span: Span; parent: Context }>()
  /** By key: a process holds a key once at a time, however often the scope is re-entered. */
  readonly #holds = new Map<string, Hold>()

  constructor(locks: NamedLockService<any>, tracer: Tracer, attributes: Attributes) {
    this.#locks = locks
    this.#tracer = tracer
    this.#attributes = attributes
    acquireChannel.subscribe(this.#subscribers)
    locks.on('released', this.#released)
    locks.on('retried', this.#retried)
    locks.on('lost', this.#lost)
    locks.on('elected', this.#elected)
    locks.on('revoked', this.#revoked)
  }

  stop(): void {
    acquireChannel.unsubscribe(this.#subscribers)
    this.#locks.off('released', this.#released)
    this.#locks.off('retried', this.#retried)
    this.#locks.off('lost', this.#lost)
    this.#locks.off('elected', this.#elected)
    this.#locks.off('revoked', this.#revoked)
  }

  readonly #subscribers = harmless<AcquireTrace>({
    start: (acquire) => {
      if (acquire.service !== this.#locks) return
      const parent = context.active()
      const attributes = {
        ...this.#attributes,
        'db.operation.name': 'GET_LOCK',
        'named_lock.name': acquire.names.join(', '),
        ...(acquire.timeout < Infinity && { 'named_lock.timeout': acquire.timeout / 1000 }),
      }
      const span = this.#tracer.startSpan('named_lock.acquire', { kind: SpanKind.CLIENT, attributes }, parent)
      this.#waits.set(acquire, { span, parent })
    },
    asyncEnd: (acquire) => {
      const wait = this.#endWait(acquire)
      if (wait && acquire.keys) this.#startHold(acquire, acquire.keys, wait.parent)
    },
    error: (acquire) => void this.#endWait(acquire),
  })

  #endWait(acquire: AcquireTrace): { readonly parent: Context } | undefined {
    const wait = this.#waits.get(acquire)
    if (!wait) return undefined
    this.#waits.delete(acquire)
    const { span } = wait
    const { keys, error } = acquire
    span.setAttribute('named_lock.acquired', keys !== undefined)
    if (error !== undefined) fail(span, error)
    else if (!keys) span.setAttribute('error.type', 'TIMEOUT')
    span.end()
    return wait
  }

  #startHold(acquire: AcquireTrace, all: readonly string[], parent: Context): void {
    const keys = all.filter((key) => !this.#holds.has(key))
    const isLostAlready = acquire.lock?.isHeld === false
    if (keys.length === 0 || isLostAlready) return
    const attributes = {
      ...this.#attributes,
      'named_lock.name': acquire.names.filter((_, at) => keys.includes(all[at] ?? '')).join(', '),
      'named_lock.key': keys.join(', '),
      ...(acquire.mode && { 'named_lock.mode': acquire.mode }),
      ...(acquire.lock?.permit !== undefined && { 'named_lock.permit': acquire.lock.permit }),
    }
    const span = this.#tracer.startSpan('named_lock.hold', { attributes }, parent)
    const hold = { span, keys: new Set(keys) }
    for (const key of keys) this.#holds.set(key, hold)
    const { around } = acquire
    acquire.around = (work) => {
      context.with(trace.setSpan(parent, span), () => (around ? around(work) : work()))
    }
  }

  readonly #released = ({ key }: NamedLockEvents['released'][0]): void => this.#endHold(key)

  readonly #retried = ({ key, reason, tries }: NamedLockEvents['retried'][0]): void => {
    const attributes = { 'named_lock.retry.reason': reason, 'named_lock.retry.tries': tries }
    this.#holds.get(key)?.span.addEvent('named_lock.retry', attributes)
  }

  readonly #lost = ({ key, error }: NamedLockEvents['lost'][0]): void => {
    const hold = this.#holds.get(key)
    if (hold) fail(hold.span, error)
    this.#endHold(key)
  }

  readonly #elected = ({ key, name }: NamedLockEvents['elected'][0]): void => {
    const attributes = { ...this.#attributes, 'named_lock.name': name, 'named_lock.key': key }
    const span = this.#tracer.startSpan('named_lock.term', { attributes, root: true })
    this.#holds.set(key, { span, keys: new Set([key]) })
  }

  /** The span ends with the lock, as that of a hold. */
  readonly #revoked = ({ key, reason, by }: NamedLockEvents['revoked'][0]): void => {
    const span = this.#holds.get(key)?.span.setAttribute('named_lock.term.ended_by', by)
    if (span && by === 'failure') fail(span, reason)
  }

  #endHold(key: string): void {
    const hold = this.#holds.get(key)
    this.#holds.delete(key)
    hold?.keys.delete(key)
    if (hold?.keys.size === 0) hold.span.end()
  }
}

function fail(span: Span, error: unknown): void {
  const { code, name, message } = error as { code?: string; name?: string; message?: string }
  span.recordException(error as Error)
  span.setAttribute('error.type', code ?? name ?? 'Error')
  span.setStatus({ code: SpanStatusCode.ERROR, ...(message !== undefined && { message }) })
}
