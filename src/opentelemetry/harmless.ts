type Stage = 'start' | 'end' | 'asyncStart' | 'asyncEnd' | 'error'
type Subscribers<T> = Record<Stage, (message: T) => void>

/**
 * Subscribers of a tracing channel whose errors become process warnings: Node.js makes an uncaught exception of what a subscriber
 * throws, and no telemetry is worth the process.
 */
export function harmless<T>(subscribers: Partial<Subscribers<T>>): Subscribers<T> {
  const guarded = (stage: Stage) => (message: T) => {
    try {
      subscribers[stage]?.(message)
    } catch (error) {
      const reason = error instanceof Error ? (error.stack ?? error.message) : String(error)
      process.emitWarning(`The telemetry of named locks failed: ${reason}`, 'NamedLockWarning')
    }
  }
  return {
    start: guarded('start'),
    end: guarded('end'),
    asyncStart: guarded('asyncStart'),
    asyncEnd: guarded('asyncEnd'),
    error: guarded('error'),
  }
}
