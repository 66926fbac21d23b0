import { connect, type Socket } from 'node:net'

export type Direction = 'to server' | 'to client'

/** The state shared by all connections of a proxy. */
export interface ProxyState {
  blackHole: Direction | 'both' | undefined
  delay: number
  /** A statement with this text makes the proxy silent, on all of its connections. */
  trap: Trap | undefined
  cut: Cut | undefined
}

export interface Trap {
  readonly text: string
  /** Whether the statement itself still reaches the server. */
  readonly lets: boolean
  readonly sprung: () => void
}

/** Statements at which the connection is cut. */
export interface Cut {
  /** Compared with what the client sends at once. */
  readonly statement: RegExp
  readonly when: () => CutWhen | undefined
}

/** Before the server has got the statement, a moment after it was sent, or with the answer on its way. */
export type CutWhen = 'before' | 'sent' | 'answered'

type Item = { readonly due: number; readonly what: Buffer | 'end' | 'reset' }

/** One client of a proxy, and its connection to the server: two streams, each of which can be held back. */
export class ProxiedConnection {
  readonly #client: Socket
  readonly #target: { host: string; port: number }
  readonly #state: ProxyState
  readonly #onClosed: () => void
  readonly #held: Record<Direction, Item[]> = { 'to server': [], 'to client': [] }
  readonly #timers = new Set<NodeJS.Timeout>()
  #upstream: Socket | undefined
  /** Directions that are blocked permanently. */
  readonly #dead = new Set<Direction>()
  /** The next answer is cut off. */
  #isCut = false

  constructor(client: Socket, target: { host: string; port: number }, state: ProxyState, onClosed: () => void) {
    this.#client = client
    this.#target = target
    this.#state = state
    this.#onClosed = onClosed
    this.#listen(client, 'to server')
  }

  /** Forwards data that was held back and may pass now. A connection is established only while both directions work. */
  flow(): void {
    const { host, port } = this.#target
    if (!this.#upstream && !this.#state.blackHole && this.#dead.size === 0 && !this.#client.destroyed) {
      this.#upstream = connect({ host, port, allowHalfOpen: true })
      this.#listen(this.#upstream, 'to client')
    }
    this.#pass('to server')
    this.#pass('to client')
  }

  reset(): void {
    for (const socket of [this.#client, this.#upstream]) if (socket) reset(socket)
    this.#end()
  }

  forget(): void {
    this.#dead.add('to server').add('to client')
  }

  halfClose(end: 'client' | 'server'): void {
    this.forget()
    if (end === 'client') this.#client.end()
    else this.#upstream?.end()
  }

  #listen(socket: Socket, direction: Direction): void {
    socket.setNoDelay(true)
    socket.on('data', (data: Buffer) => this.#arrived(direction, data))
    socket.on('end', () => this.#arrived(direction, 'end'))
    socket.on('error', () => undefined) // 'close' follows
    socket.on('close', (hadError) => {
      if (hadError) this.#arrived(direction, 'reset')
      if (this.#client.destroyed && (this.#upstream?.destroyed ?? true)) this.#end()
    })
  }

  #arrived(direction: Direction, what: Item['what']): void {
    const { trap } = this.#state
    const cut = direction === 'to server' && Buffer.isBuffer(what) ? this.#cutAt(what) : undefined
    if (this.#isCut || cut === 'before') return this.reset()
    this.#held[direction].push({ due: performance.now() + this.#state.delay, what })
    this.#isCut = cut !== undefined
    if (cut === 'sent') {
      this.#pass(direction)
      return this.reset()
    }
    const springs = trap && direction === 'to server' && Buffer.isBuffer(what) && what.includes(trap.text)
    if (!springs) return this.#pass(direction)
    if (trap.lets) this.#pass(direction)
    trap.sprung()
  }

  #cutAt(data: Buffer): CutWhen | undefined {
    const { cut } = this.#state
    return cut?.statement.test(data.toString('latin1')) ? cut.when() : undefined
  }

  #pass(direction: Direction): void {
    const { blackHole } = this.#state
    const held = this.#held[direction]
    if (this.#dead.has(direction)) held.length = 0
    if (blackHole === 'both' || blackHole === direction) return
    const target = direction === 'to server' ? this.#upstream : this.#client
    // Data of a connection that was never established must not reach the server.
    if (!target) return
    for (let item = held[0]; item; item = held[0]) {
      const early = item.due - performance.now()
      if (early > 0) return this.#later(early, direction)
      held.shift()
      if (item.what === 'reset') reset(target)
      else if (item.what === 'end') target.end()
      else target.write(item.what)
    }
  }

  #later(milliseconds: number, direction: Direction): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      this.#pass(direction)
    }, Math.ceil(milliseconds))
    this.#timers.add(timer)
  }

  #end(): void {
    for (const timer of this.#timers) clearTimeout(timer)
    this.#timers.clear()
    this.#onClosed()
  }
}

/**
 * Sends RST. Node.js's resetAndDestroy() sends FIN first; when an error arrives before that is done, the handle of the socket is never
 * closed.
 */
function reset(socket: Socket): void {
  if (socket.connecting) {
    socket.once('connect', () => reset(socket))
    return
  }
  const isEnding = socket.writableEnded && !socket.writableFinished
  Object.assign(socket, { resetAndClosing: !isEnding })
  socket.destroy()
}
