import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { ProxiedConnection, type Cut, type Direction, type ProxyState } from './proxied-connection.js'

export type { Direction } from './proxied-connection.js'

/** A TCP proxy in front of a server. It can be closed, and it simulates network faults while the server stays up. */
export class TcpProxy {
  #target: { host: string; port: number }
  #accepted = 0
  readonly #connections = new Set<ProxiedConnection>()
  readonly #state: ProxyState = { blackHole: undefined, delay: 0, trap: undefined, cut: undefined }
  #server: Server | undefined
  #port = 0

  private constructor(target: { host: string; port: number }) {
    this.#target = target
  }

  static async start(target: { host: string; port: number }): Promise<TcpProxy> {
    const proxy = new TcpProxy(target)
    await proxy.open()
    return proxy
  }

  get port(): number {
    return this.#port
  }

  /** The number of connected clients. */
  get connections(): number {
    return this.#connections.size
  }

  /** The number of connection attempts so far. */
  get accepted(): number {
    return this.#accepted
  }

  /** Directs new connections to another server. Existing connections stay with the old one. */
  retarget(target: { host: string; port: number }): void {
    this.#target = target
  }

  /** Accepts clients, on the same port every time. */
  async open(): Promise<void> {
    const server = createServer({ allowHalfOpen: true }, (client) => this.#join(client))
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(this.#port, '127.0.0.1', resolve)
    })
    this.#server = server
    this.#port = (server.address() as AddressInfo).port
  }

  /** Ends all connections and refuses new ones. */
  async shut(): Promise<void> {
    this.reset()
    const server = this.#server
    this.#server = undefined
    if (server) await new Promise((resolve) => server.close(resolve))
  }

  /** Sends RST in both directions; new connections are accepted. */
  reset(): void {
    for (const connection of this.#connections) connection.reset()
  }

  /**
   * Blocks a direction without notifying either side. As with TCP, data sent meanwhile arrives after `heal()`. New
   * connections are established only after it.
   */
  blackHole(direction: Direction | 'both' = 'both'): void {
    this.#state.blackHole = direction
  }

  /**
   * Blocks all connections as soon as a statement with that text passes. `lets`: that statement still reaches the
   * server. Resolves when it has passed.
   */
  blackHoleAt(text: string, lets: boolean): Promise<void> {
    return new Promise((resolve) => {
      const sprung = (): void => {
        this.#state.trap = undefined
        this.blackHole()
        resolve()
      }
      this.#state.trap = { text, lets, sprung }
    })
  }

  /** Cuts connections at their COMMIT, until `heal()`. */
  cutCommits(when: Cut['when']): void {
    this.#state.cut = { statement: /(^|[^A-Z ])COMMIT\0?$/, when }
  }

  heal(): void {
    this.#state.trap = undefined
    this.#state.cut = undefined
    this.#state.blackHole = undefined
    for (const connection of this.#connections) connection.flow()
  }

  /** Half-open connections, as after a firewall has lost its state: existing ones are silent forever, new ones work. */
  forget(): void {
    for (const connection of this.#connections) connection.forget()
  }

  /** Sends FIN to one end of each connection; the other end receives neither that nor anything else. */
  halfClose(end: 'client' | 'server'): void {
    for (const connection of this.#connections) connection.halfClose(end)
  }

  /** Delays all data by that time in both directions, from now on. */
  delay(milliseconds: number): void {
    this.#state.delay = milliseconds
  }

  #join(client: Socket): void {
    this.#accepted++
    const connection = new ProxiedConnection(client, this.#target, this.#state, () =>
      this.#connections.delete(connection),
    )
    this.#connections.add(connection)
    connection.flow()
  }
}
