import { metrics, trace, type Attributes, type MeterProvider, type TracerProvider } from '@opentelemetry/api'
import type { NamedLockService } from '../service/named-lock-service.js'
import { attributesOf } from './attributes.js'
import { measure } from './measure.js'
import { LockSpans } from './lock-spans.js'

const SCOPE = 'typeorm-named-lock'

/** Where spans and metrics go. */
export interface NamedLockTelemetryOptions {
  /** Default: the global one. */
  readonly tracerProvider?: TracerProvider | undefined
  /** Default: the global one. */
  readonly meterProvider?: MeterProvider | undefined
  /**
   * Maps a lock's name to the attribute `named_lock.name` of metrics. Each name with an id in it would create a time
   * series; `(name) => name.split(':')[0]` is a good choice. Default: metrics have no name. Spans always have the full
   * name.
   */
  readonly metricName?: ((name: string) => string | undefined) | undefined
}

/**
 * Creates spans for the wait and the hold of each lock, and metrics of both.
 *
 * @returns A function that stops the instrumentation.
 *
 * @example
 * const stop = instrumentNamedLocks(locks, { metricName: (name) => name.split(':')[0] })
 */
export function instrumentNamedLocks(
  locks: NamedLockService<any>,
  { tracerProvider, meterProvider, metricName }: NamedLockTelemetryOptions = {},
): () => void {
  const attributes: Attributes = attributesOf(locks.dataSource as object)
  const tracer = (tracerProvider ?? trace).getTracer(SCOPE)
  const meter = (meterProvider ?? metrics).getMeter(SCOPE)
  const spans = new LockSpans(locks, tracer, attributes)
  const stopMeasuring = measure(locks, meter, attributes, metricName)
  return () => {
    spans.stop()
    stopMeasuring()
  }
}
