import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { ProxiedConnection, type Direction, type ProxyState } from './proxied-connection.js'

export type { Direction } from './proxied-connection.js'

/** A door to a server that can be shut, and a bad network behind it: what the client sees of faults while the server lives on. */
export class TcpProxy {
  #target: { host: string; port: number }
  #accepted = 0
  readonly #connections = new Set<ProxiedConnection>()
  readonly #state: ProxyState = { blackHole: undefined, delay: 0, trap: undefined }
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

  /** How many clients are connected. */
  get connections(): number {
    return this.#connections.size
  }

  /** How many clients have ever knocked. */
  get accepted(): number {
    return this.#accepted
  }

  /** From now on the door leads to another server. Connections of before stay with the old one. */
  retarget(target: { host: string; port: number }): void {
    this.#target = target
  }

  /** Lets clients in, on the same port every time. */
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

  /** RST in both directions; new connections are let in. */
  reset(): void {
    for (const connection of this.#connections) connection.reset()
  }

  /**
   * Nothing gets through in that direction any more, and nobody is told. As with TCP, what was sent meanwhile arrives after
   * `heal()`. New connections come about only after it.
   */
  blackHole(direction: Direction | 'both' = 'both'): void {
    this.#state.blackHole = direction
  }

  /**
   * A black hole for all connections from the moment at which a statement with that text goes by. `lets`: that one still reaches the
   * server. Resolves when it has.
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

  heal(): void {
    this.#state.trap = undefined
    this.#state.blackHole = undefined
    for (const connection of this.#connections) connection.flow()
  }

  /** Half-open, as after a firewall has lost its state: the connections of now are silent for ever, new ones work. */
  forget(): void {
    for (const connection of this.#connections) connection.forget()
  }

  /** One end is told that the connection is over (FIN); the other hears nothing of it, and of anything else. */
  halfClose(end: 'client' | 'server'): void {
    for (const connection of this.#connections) connection.halfClose(end)
  }

  /** Everything takes that much longer in both directions, from now on. */
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
