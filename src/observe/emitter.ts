import { channel, type Channel } from 'node:diagnostics_channel'
import { EventEmitter } from 'node:events'
import type { NamedLockEvents } from './events.js'

type EventName = keyof NamedLockEvents

const NAMES: readonly EventName[] = [
  'waiting',
  'acquired',
  'timedOut',
  'lost',
  'retried',
  'elected',
  'revoked',
  'released',
  'releaseFailed',
]

/** `typeorm-named-lock:acquired` and so on: the same events, of all services of the process. */
const channels = Object.fromEntries(NAMES.map((name) => [name, channel(`typeorm-named-lock:${name}`)])) as Record<
  EventName,
  Channel
>

/** The events of a service. The error of a listener that throws or rejects becomes a process warning, and has no other effect. */
export class Emitter {
  /** The service that the events belong to. */
  readonly owner: object
  readonly #emitter = new EventEmitter().setMaxListeners(0)

  constructor(owner: object) {
    this.owner = owner
  }

  on(event: EventName, listener: (...args: any[]) => void): void {
    this.#emitter.on(event, listener)
  }

  once(event: EventName, listener: (...args: any[]) => void): void {
    this.#emitter.once(event, listener)
  }

  off(event: EventName, listener: (...args: any[]) => void): void {
    this.#emitter.off(event, listener)
  }

  /** Whether the event has listeners: without any, it is not even built. */
  hears(event: EventName): boolean {
    return this.#emitter.listenerCount(event) > 0 || channels[event].hasSubscribers
  }

  emit<E extends EventName>(event: E, payload: NamedLockEvents[E][0]): void {
    channels[event].publish(payload)
    for (const listener of this.#emitter.rawListeners(event)) {
      try {
        const result: unknown = listener.call(this.#emitter, payload)
        if (result instanceof Promise) result.catch((error: unknown) => warn(event, error))
      } catch (error) {
        warn(event, error)
      }
    }
  }
}

function warn(event: string, error: unknown): void {
  process.emitWarning(
    `A listener of the '${event}' event failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
    'NamedLockWarning',
  )
}
