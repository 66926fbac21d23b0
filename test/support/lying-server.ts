import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import type { ServerKind } from './servers.js'

/** Makes another statement of one that a client sends. Connections are numbered from 1. */
export type Lie = (sql: string, connection: number) => string

interface Target {
  readonly kind: ServerKind
  readonly host: string
  readonly port: number
}

/**
 * A server that lies: a real one behind a proxy that changes statements on their way to it, so that the answers are those of another
 * engine. It speaks the protocols of MySQL and PostgreSQL, without encryption.
 */
export class LyingServer {
  readonly host = '127.0.0.1'
  readonly #sockets = new Set<Socket>()
  readonly #server: Server
  #connections = 0

  private constructor(
    readonly target: Target,
    readonly lie: Lie,
    /** It does not notice when clients go away. */
    readonly keepsSessions: boolean,
  ) {
    this.#server = createServer({ allowHalfOpen: true }, (client) => this.#join(client))
  }

  static async start(target: Target, lie: Lie, { keepsSessions = false } = {}): Promise<LyingServer> {
    const liar = new LyingServer(target, lie, keepsSessions)
    await new Promise<void>((resolve) => liar.#server.listen(0, liar.host, resolve))
    return liar
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  #join(client: Socket): void {
    const number = ++this.#connections
    const server = connect(this.target)
    const Reader = this.target.kind === 'postgres' ? PostgresMessages : MySqlPackets
    const reader = new Reader((sql) => this.lie(sql, number), this.keepsSessions)
    for (const socket of [client, server]) {
      this.#sockets.add(socket)
      socket.setNoDelay(true)
      socket.on('error', () => undefined)
      socket.on('close', () => this.#sockets.delete(socket))
    }
    client.on('data', (data: Buffer) => server.write(reader.read(data)))
    client.on('close', () => this.keepsSessions || server.destroy())
    client.on('end', () => (this.keepsSessions ? client.end() : server.end()))
    server.on('data', (data: Buffer) => client.destroyed || client.write(data))
    server.on('close', () => client.destroy())
  }
}

/** Cuts a stream into messages, and changes those with a statement. */
abstract class Messages {
  #rest = Buffer.alloc(0)

  constructor(
    protected readonly lie: (sql: string) => string,
    protected readonly swallowsEnd: boolean,
  ) {}

  read(data: Buffer): Buffer {
    let rest = Buffer.concat([this.#rest, data])
    const out: Buffer[] = []
    for (;;) {
      const length = this.lengthOf(rest)
      if (length === undefined || rest.length < length) break
      out.push(this.changed(rest.subarray(0, length)))
      rest = rest.subarray(length)
    }
    this.#rest = rest
    return Buffer.concat(out)
  }

  protected abstract lengthOf(data: Buffer): number | undefined
  protected abstract changed(message: Buffer): Buffer
}

const NOTHING = Buffer.alloc(0)

class MySqlPackets extends Messages {
  protected override lengthOf(data: Buffer): number | undefined {
    return data.length < 4 ? undefined : 4 + data.readUIntLE(0, 3)
  }

  protected override changed(packet: Buffer): Buffer {
    if (packet[3] !== 0) return packet // not the first of a command
    const command = packet[4]
    if (command === COM_QUIT && this.swallowsEnd) return NOTHING
    if (command !== COM_QUERY && command !== COM_STMT_PREPARE) return packet
    // Query attributes: none, in one set.
    const begin = command === COM_QUERY && packet[5] === 0 && packet[6] === 1 ? 7 : 5
    const sql = Buffer.from(this.lie(packet.toString('utf8', begin)))
    const head = Buffer.from(packet.subarray(0, begin))
    head.writeUIntLE(begin - 4 + sql.length, 0, 3)
    return Buffer.concat([head, sql])
  }
}

const COM_QUIT = 1
const COM_QUERY = 3
const COM_STMT_PREPARE = 0x16

class PostgresMessages extends Messages {
  #hasStarted = false

  /** Messages before the start have no type. */
  protected override lengthOf(data: Buffer): number | undefined {
    const at = this.#hasStarted ? 1 : 0
    return data.length < at + 4 ? undefined : at + data.readInt32BE(at)
  }

  protected override changed(message: Buffer): Buffer {
    if (!this.#hasStarted) {
      this.#hasStarted = message.readInt32BE(4) === PROTOCOL_3
      return message
    }
    const type = String.fromCharCode(message[0] as number)
    if (type === 'X' && this.swallowsEnd) return NOTHING
    if (type !== 'Q') return message
    const sql = Buffer.from(`${this.lie(message.toString('utf8', 5, message.length - 1))}\0`)
    const head = Buffer.from(message.subarray(0, 5))
    head.writeInt32BE(4 + sql.length, 1)
    return Buffer.concat([head, sql])
  }
}

const PROTOCOL_3 = 196_608
