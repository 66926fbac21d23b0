import type { NamedLockService } from '../named-lock-service.js'
import type { ListOptions } from '../options.js'
import { lockTable } from './format.js'
import { outputFailed } from './output.js'
import { ENDING, onSignals } from './signals.js'
import { Screen, widthOfOutput } from './terminal.js'
import { sleep, wallNow } from '../util/clock.js'

/** `--interval 0` would keep the server busy with nothing else. */
const SHORTEST = 100

/** The list, again and again, until the program is told to end: in place on a terminal, else one after the other. */
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
      if (screen) {
        const head = `Every ${interval / 1000} s, last at ${new Date(wallNow()).toLocaleTimeString()}; Ctrl-C ends it`
        const note = list.note === undefined ? '' : `\n\n${list.note}`
        screen.draw(`${head}\n\n${lockTable(list, widthOfOutput())}${note}`)
      } else {
        process.stdout.write(asJson ? `${JSON.stringify(list)}\n` : `${lockTable(list)}\n\n`)
      }
      await sleep(Math.max(interval, SHORTEST), undefined, { signal: ended }).catch(() => undefined)
    }
  } finally {
    screen?.close()
    forget()
  }
}
