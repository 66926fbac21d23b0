/** The signals that ask a program to end. */
export const ENDING: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP']

/** The signals that are forwarded to the command. */
export const FORWARDED: readonly NodeJS.Signals[] = [...ENDING, 'SIGQUIT', 'SIGUSR1', 'SIGUSR2']

/** Calls `listener` for each of these signals instead of their default action; the returned function restores it. */
export function onSignals(signals: readonly NodeJS.Signals[], listener: (signal: NodeJS.Signals) => void): () => void {
  for (const signal of signals) process.on(signal, listener)
  return () => {
    for (const signal of signals) process.removeListener(signal, listener)
  }
}

/** The reason of a wait that ended because the program received a signal. */
export class Interrupted extends Error {
  constructor(readonly signal: NodeJS.Signals) {
    super(`ended by ${signal}`)
  }
}
