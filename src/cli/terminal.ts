import type { WriteStream } from 'node:tty'
import { fitted } from './format.js'

const HIDE = '\x1b[?25l'
const SHOW = '\x1b[?25h'

/** Columns of the terminal; undefined without a terminal, or if it does not report them. */
export function widthOfOutput(): number | undefined {
  return process.stdout.columns || undefined
}

/** One line of a terminal that is rewritten in place. Without a terminal nothing is written. */
export class StatusLine {
  readonly #stream: WriteStream
  #isShown = false

  constructor(stream: WriteStream) {
    this.#stream = stream
  }

  get isUseful(): boolean {
    return this.#stream.isTTY
  }

  show(text: string): void {
    if (!this.isUseful) return
    this.#isShown = true
    this.#stream.write(`\r\x1b[K${fitted(text, (this.#stream.columns || 80) - 1)}`)
  }

  clear(): void {
    if (this.#isShown) this.#stream.write('\r\x1b[K')
    this.#isShown = false
  }
}

/** A full-screen view that is redrawn in place and disappears when it is closed. */
export class Screen {
  readonly #stream: WriteStream

  constructor(stream: WriteStream) {
    this.#stream = stream
    stream.write(`\x1b[?1049h${HIDE}`)
  }

  draw(text: string): void {
    const lines = text.split('\n').slice(0, Math.max(1, (this.#stream.rows || 24) - 1))
    this.#stream.write(`\x1b[H${lines.map((line) => `${line}\x1b[K`).join('\n')}\n\x1b[J`)
  }

  close(): void {
    this.#stream.write(`${SHOW}\x1b[?1049l`)
  }
}
