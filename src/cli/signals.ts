/** Those by which somebody outside ends a program. */
export const ENDING: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP']

/** Those that are the command's business, too. */
export const FORWARDED: readonly NodeJS.Signals[] = [...ENDING, 'SIGQUIT', 'SIGUSR1', 'SIGUSR2']

/** Calls `listener` for each of these signals instead of what they do by themselves; the result undoes it. */
export function onSignals(signals: readonly NodeJS.Signals[], listener: (signal: NodeJS.Signals) => void): () => void {
  for (const signal of signals) process.on(signal, listener)
  return () => {
    for (const signal of signals) process.removeListener(signal, listener)
  }
}

/** Why a wait was ended: the program itself was told to. */
export class Interrupted extends Error {
  constructor(readonly signal: NodeJS.Signals) {
    super(`ended by ${signal}`)
  }
}
