type Stage = 'start' | 'end' | 'asyncStart' | 'asyncEnd' | 'error'
type Subscribers<T> = Record<Stage, (message: T) => void>

/**
 * Wraps the subscribers of a tracing channel so that their errors become process warnings. Without it, Node.js would
 * turn an error of a subscriber into an uncaught exception and end the process.
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
