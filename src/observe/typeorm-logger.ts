import type { DataSourceLike } from '../typeorm/data-source-like.js'
import type { Emitter } from './emitter.js'
import type { NamedLockEvent } from './events.js'

interface Logging {
  readonly logger?: { log(level: 'info' | 'warn', message: string): unknown } | undefined
  readonly options: { readonly logging?: unknown }
}

/** Logs locks with TypeORM's own logger where its `logging` includes `info`, and lost ones where it includes `warn`. */
export function logEvents(dataSource: DataSourceLike, events: Emitter): void {
  const { options } = dataSource as unknown as Logging
  const log = (level: 'info' | 'warn', message: string): void => {
    // Looked up at each event: `setOptions` replaces it.
    ;(dataSource as unknown as Logging).logger?.log(level, message)
  }
  const took = ({ waitedMs }: NamedLockEvent): string => `${Math.round(waitedMs)} ms`
  if (wants(options.logging, 'info')) {
    events.on('waiting', (event) => log('info', `Waiting for the lock '${event.name}'`))
    events.on('acquired', (event) => log('info', `Acquired the lock '${event.name}' after ${took(event)}`))
    events.on('timedOut', (event) => log('info', `Gave up on the lock '${event.name}' after ${took(event)}`))
    events.on('retried', ({ name, tries, error }) => {
      log('info', `Repeating the transaction under the lock '${name}' after try ${tries}: ${error.message}`)
    })
    events.on('elected', ({ name }) => log('info', `Elected: this process leads '${name}'`))
    events.on('revoked', ({ name, ledMs, reason }) => {
      log('info', `No longer leading '${name}', after ${Math.round(ledMs)} ms: ${reason.message}`)
    })
    events.on('released', (event) => {
      log('info', `Released the lock '${event.name}' after holding it for ${Math.round(event.heldMs)} ms`)
    })
  }
  if (wants(options.logging, 'warn')) {
    events.on('lost', (event) => log('warn', event.error.message))
    events.on('releaseFailed', (event) => log('warn', String(event.error)))
  }
}

function wants(logging: unknown, level: string): boolean {
  return logging === true || logging === 'all' || (Array.isArray(logging) && logging.includes(level))
}
