import { metrics, trace, type Attributes, type MeterProvider, type TracerProvider } from '@opentelemetry/api'
import type { NamedLockService } from '../service/named-lock-service.js'
import { attributesOf } from './attributes.js'
import { measure } from './measure.js'
import { LockSpans } from './lock-spans.js'

const SCOPE = 'typeorm-named-lock'

export interface NamedLockTelemetryOptions {
  /** Default: the global one. */
  readonly tracerProvider?: TracerProvider | undefined
  /** Default: the global one. */
  readonly meterProvider?: MeterProvider | undefined
  /**
   * What the metrics call a lock, as the attribute `named_lock.name`: names with ids in them would make a time series each.
   * `(name) => name.split(':')[0]` is a good one. Default: they do not call it anything. Spans always have the name.
   */
  readonly metricName?: ((name: string) => string | undefined) | undefined
}

/**
 * Spans around waiting for locks and holding them, and metrics of both.
 *
 * @returns How to stop.
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
