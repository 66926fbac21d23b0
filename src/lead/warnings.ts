import { show } from '../util/show.js'

/*
 * What goes wrong in the background has no caller whose promise could reject: it becomes a process warning.
 */

export function warnOfTrouble(name: string, error: Error): void {
  warn(`The campaign for the leadership of '${name}' failed, and will be repeated: ${error.message}`)
}

/** @param next Milliseconds until the process campaigns again; undefined: it does not. */
export function warnOfFailure(name: string, error: unknown, next: number | undefined): void {
  const after = next === undefined ? '' : ` This process campaigns again in ${next} ms.`
  warn(
    `The work of the leader of '${name}' failed.${after} ${error instanceof Error ? (error.stack ?? error.message) : show(error)}`,
  )
}

export function warnOfSlowEnd(name: string, milliseconds: number): void {
  warn(
    `The work of the leader of '${name}' still runs ${milliseconds} ms after the end of its term. This process does not campaign again before ` +
      'it has ended: let it end with term.signal.',
  )
}

function warn(message: string): void {
  process.emitWarning(message, 'NamedLockWarning')
}
