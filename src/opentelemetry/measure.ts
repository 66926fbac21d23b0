import type { Attributes, Meter } from '@opentelemetry/api'
import type { NamedLockEvents } from '../observe/events.js'
import type { NamedLockService } from '../service/named-lock-service.js'
import { acquireChannel, type AcquireTrace } from '../observe/tracing.js'
import { harmless } from './harmless.js'

/** Records the metrics of one service; the returned function stops it. */
export function measure(
  locks: NamedLockService<any>,
  meter: Meter,
  common: Attributes,
  metricName: ((name: string) => string | undefined) | undefined,
): () => void {
  const seconds = { unit: 's' }
  const waits = meter.createHistogram('named_lock.wait.duration', {
    ...seconds,
    description: 'From the call to the acquisition or the failure.',
  })
  const holds = meter.createHistogram('named_lock.hold.duration', {
    ...seconds,
    description: 'From the acquisition to the release.',
  })
  const timeouts = meter.createCounter('named_lock.timeouts', { description: 'Waits that timed out.' })
  const losses = meter.createCounter('named_lock.losses', { description: 'Locks lost while held.' })
  const retries = meter.createCounter('named_lock.retries', { description: 'Repetitions of transactions.' })
  const handOvers = meter.createCounter('named_lock.hand_overs', {
    description: 'Locks passed on within the process, without the server.',
  })
  const held = meter.createUpDownCounter('named_lock.held', { description: 'Locks held now.' })
  const leading = meter.createUpDownCounter('named_lock.leading', { description: 'Names that this process leads now.' })
  const pending = meter.createUpDownCounter('named_lock.pending', { description: 'Calls waiting for their lock now.' })

  const of = (name: string): Attributes => {
    const called = metricName?.(name)
    return called === undefined ? common : { ...common, 'named_lock.name': called }
  }
  const listeners = {
    acquired: ({ name, waitedMs, by, isLeaders }: NamedLockEvents['acquired'][0]): void => {
      const attributes = of(name)
      // A campaign and a term may last for days, and would hide what calls wait.
      if (!isLeaders) waits.record(waitedMs / 1000, { ...attributes, 'named_lock.outcome': 'acquired' })
      held.add(1, attributes)
      if (by === 'handover') handOvers.add(1, attributes)
    },
    timedOut: ({ name, waitedMs }: NamedLockEvents['timedOut'][0]): void => {
      const attributes = of(name)
      waits.record(waitedMs / 1000, { ...attributes, 'named_lock.outcome': 'timed_out' })
      timeouts.add(1, attributes)
    },
    released: ({ name, heldMs, isLeaders }: NamedLockEvents['released'][0]): void => {
      const attributes = of(name)
      if (!isLeaders) holds.record(heldMs / 1000, attributes)
      held.add(-1, attributes)
    },
    elected: ({ name }: NamedLockEvents['elected'][0]): void => leading.add(1, of(name)),
    revoked: ({ name }: NamedLockEvents['revoked'][0]): void => leading.add(-1, of(name)),
    retried: ({ name, reason }: NamedLockEvents['retried'][0]): void => {
      retries.add(1, { ...of(name), 'named_lock.retry.reason': reason })
    },
    lost: ({ name, isReleased }: NamedLockEvents['lost'][0]): void => {
      const attributes = of(name)
      losses.add(1, attributes)
      if (!isReleased) held.add(-1, attributes)
    },
  }
  const change = (trace: AcquireTrace, by: 1 | -1): void => {
    if (trace.service === locks) pending.add(by, of(trace.names[0] ?? ''))
  }
  const counted = new WeakSet<AcquireTrace>()
  const subscribers = harmless<AcquireTrace>({
    start: (trace) => {
      change(trace, 1)
      counted.add(trace)
    },
    // A call that fails before its wait has no asyncEnd; a call that fails later has both.
    error: (trace) => void (counted.delete(trace) && change(trace, -1)),
    asyncEnd: (trace) => void (counted.delete(trace) && change(trace, -1)),
  })

  acquireChannel.subscribe(subscribers)
  locks.on('acquired', listeners.acquired)
  locks.on('timedOut', listeners.timedOut)
  locks.on('released', listeners.released)
  locks.on('lost', listeners.lost)
  locks.on('retried', listeners.retried)
  locks.on('elected', listeners.elected)
  locks.on('revoked', listeners.revoked)
  return () => {
    acquireChannel.unsubscribe(subscribers)
    locks.off('acquired', listeners.acquired)
    locks.off('timedOut', listeners.timedOut)
    locks.off('released', listeners.released)
    locks.off('lost', listeners.lost)
    locks.off('retried', listeners.retried)
    locks.off('elected', listeners.elected)
    locks.off('revoked', listeners.revoked)
  }
}
