/** The error of an interrupted run. */
export class Interruption extends Error {}

/**
 * Aborts at Ctrl-C, so that the run ends its replicas and cleans up. A second Ctrl-C ends the process at once, unless
 * it is the first one, forwarded by npm.
 */
export function onInterrupt(): AbortSignal {
  const interrupted = new AbortController()
  let interruptedAt = Infinity
  const interrupt = () => {
    if (Date.now() - interruptedAt > 1000) process.exit(130)
    interruptedAt = Math.min(interruptedAt, Date.now())
    interrupted.abort(new Interruption('Interrupted'))
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, interrupt)
  return interrupted.signal
}
