import type { IncomingMessage, ServerResponse } from 'node:http'
import { randomUUID } from 'node:crypto'
import type { Activity } from '../shop/activity.js'
import { now } from '../shop/clock.js'
import type { ShopState } from './shop-state.js'

/** The lock events of a replica; or, with `replica` 0, a mark across the whole timeline. */
export type TimelineEntry =
  readonly [replica: number, ...activity: Activity] | readonly [replica: number, at: number, mark: Mark]
export type Mark = 'killed' | 'ended' | 'opened' | 'locksOn' | 'locksOff' | 'saleBegins' | 'saleEnds'

/** How much history a newly opened page gets, in milliseconds and in entries. */
const memory = { ms: 30_000, entries: 20_000 }
/** The limit of unsent bytes: a page that does not read them is disconnected, and its browser reconnects. */
const mostUnread = 4_000_000
/** A page that receives nothing for longer connects again. */
const heartbeat = 4_000

/** Server-sent events: sends all events to every open page. */
export class Feed {
  /** Another run of the sample may have other pages, replicas and sales: a page that meets one loads itself again. */
  readonly #run = randomUUID()
  readonly #pages = new Set<ServerResponse>()
  readonly #past: TimelineEntry[] = []
  readonly #heartbeat: NodeJS.Timeout
  #state = ''

  constructor() {
    this.#heartbeat = setInterval(() => this.#send(message('beat', {})), heartbeat)
  }

  get pages(): number {
    return this.#pages.size
  }

  connect(request: IncomingMessage, response: ServerResponse): void {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
    response.write('retry: 1000\n\n')
    response.write(message('hello', { run: this.#run, now: now(), past: this.#past }))
    if (this.#state) response.write(message('shop', this.#state))
    this.#pages.add(response)
    response.on('error', () => this.#forget(response))
    request.on('close', () => this.#forget(response))
  }

  /** Sends the state, unless nothing has changed. */
  showShop(state: ShopState): void {
    const text = JSON.stringify(state)
    if (text === this.#state) return
    this.#state = text
    this.#send(message('shop', text))
  }

  show(entries: readonly TimelineEntry[]): void {
    if (entries.length === 0) return
    this.#past.push(...entries)
    this.#forgetThePast()
    this.#send(message('locks', { now: now(), entries }))
  }

  close(): void {
    clearInterval(this.#heartbeat)
    for (const page of this.#pages) page.end(message('end', {}))
  }

  #send(text: string): void {
    for (const page of this.#pages) {
      if (page.writableLength > mostUnread) page.destroy()
      else page.write(text)
    }
  }

  #forget(page: ServerResponse): void {
    this.#pages.delete(page)
  }

  #forgetThePast(): void {
    const since = now() - memory.ms
    const isOld = ([, at]: TimelineEntry) => at < since
    const young = this.#past.findIndex((entry) => !isOld(entry))
    const old = Math.max(young === -1 ? this.#past.length : young, this.#past.length - memory.entries)
    if (old > 0) this.#past.splice(0, old)
  }
}

function message(event: string, data: object | string): string {
  return `event: ${event}\ndata: ${typeof data === 'string' ? data : JSON.stringify(data)}\n\n`
}
