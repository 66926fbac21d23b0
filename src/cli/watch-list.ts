import type { NamedLockService } from '../service/named-lock-service.js'
import type { ListOptions } from '../contract/options.js'
import { listJson, listText } from './list.js'
import { Namespaces } from './namespaces.js'
import { outputFailed } from './output.js'
import { ENDING, onSignals } from './signals.js'
import { Screen, widthOfOutput } from './terminal.js'
import { sleep, wallNow } from '../util/clock.js'

/** The shortest `--interval`, in milliseconds: 0 would query the server without a pause. */
export const SHORTEST_INTERVAL = 100

/** Prints the list repeatedly until a signal arrives: in place on a terminal, otherwise one below the other. */
export async function watchList(
  locks: NamedLockService,
  filter: ListOptions,
  interval: number,
  asJson: boolean,
): Promise<void> {
  const ending = new AbortController()
  const ended = AbortSignal.any([ending.signal, outputFailed])
  const forget = onSignals(ENDING, () => ending.abort())
  const screen = process.stdout.isTTY && !asJson ? new Screen(process.stdout) : undefined
  try {
    while (!ended.aborted) {
      const list = await locks.list(filter)
      const namespaces = await Namespaces.look(locks)
      if (screen) {
        const head = `Every ${interval / 1000} s, last at ${new Date(wallNow()).toLocaleTimeString()}; Ctrl-C to quit`
        const note = list.note === undefined ? '' : `\n\n${list.note}`
        screen.draw(`${head}\n\n${listText(list, namespaces, widthOfOutput())}${note}`)
      } else {
        process.stdout.write(
          asJson ? `${JSON.stringify(listJson(list, namespaces))}\n` : `${listText(list, namespaces)}\n\n`,
        )
      }
      await sleep(interval, undefined, { signal: ended }).catch(() => undefined)
    }
  } finally {
    screen?.close()
    forget()
  }
}
