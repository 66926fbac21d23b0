import { createReadStream } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import path from 'node:path'
import { reason } from '../supervisor/database.js'
import { UserError } from '../supervisor/user-error.js'

export type Handler = (body: Record<string, unknown>) => unknown
export interface Routes {
  readonly feed: (request: IncomingMessage, response: ServerResponse) => void
  /** The actions by path of the POST; their arguments are in the body. */
  readonly actions: Readonly<Record<string, Handler>>
}

const folder = path.join(__dirname, '../page')
/** The files that the page links to, as text: the documents of the project, and the sources of the shop. */
const linked = /^\/(docs\/[\w-]+\.md|sample-app\/shop\/[\w.-]+\.ts)$/
const project = path.join(__dirname, '../..')
const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
}
const headers = {
  'cache-control': 'no-cache',
  'content-security-policy': "default-src 'self'; style-src 'self' 'unsafe-inline'",
  'x-content-type-options': 'nosniff',
}
const mostBody = 10_000
const usualPort = 4600

/** Serves the page and its feed, and runs its actions. It listens on loopback only. */
export class WebServer {
  readonly #server: Server
  readonly #routes: Routes

  private constructor(routes: Routes) {
    this.#routes = routes
    this.#server = createServer((request, response) => {
      this.#answer(request, response).catch((error: unknown) => {
        if (!response.headersSent) json(response, error instanceof UserError ? 400 : 502, { message: reason(error) })
        else response.destroy()
      })
    })
  }

  /** Listens on the given port; without one on the usual port, or on a free one if that is taken. */
  static async open(routes: Routes, port?: number): Promise<WebServer> {
    const server = new WebServer(routes)
    try {
      await server.#listen(port ?? usualPort)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE' && (error as NodeJS.ErrnoException).code !== 'EACCES')
        throw error
      if (port !== undefined)
        throw new UserError(`Cannot listen on port ${port} (${reason(error)}). Pass another --port, or none.`)
      await server.#listen(0)
    }
    return server
  }

  get url(): string {
    return `http://localhost:${(this.#server.address() as AddressInfo).port}/`
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise<void>((resolve) => this.#server.close(() => resolve()))
  }

  #listen(port: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen(port, '127.0.0.1', () => {
        this.#server.off('error', reject)
        resolve()
      })
    })
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname } = new URL(request.url ?? '/', 'http://localhost')
    if (!isLocal(request)) return json(response, 403, { message: 'Allowed from this machine only' })
    if (request.method === 'GET') {
      if (pathname === '/feed') return this.#routes.feed(request, response)
      return this.#file(pathname === '/' ? '/index.html' : pathname, response)
    }
    const action = request.method === 'POST' ? this.#routes.actions[pathname] : undefined
    if (!action) return json(response, 404, { message: 'Not found' })
    json(response, 200, (await action(await bodyOf(request))) ?? {})
  }

  async #file(name: string, response: ServerResponse): Promise<void> {
    const isLinked = linked.test(name)
    const type = isLinked ? 'text/plain; charset=utf-8' : types[path.extname(name)]
    if (!type || !(isLinked || /^\/[\w-]+\.\w+$/.test(name))) return json(response, 404, { message: 'Not found' })
    const file = createReadStream(path.join(isLinked ? project : folder, name))
    await new Promise<void>((resolve) => {
      file.once('error', () => (json(response, 404, { message: 'Not found' }), resolve()))
      file.once('open', () => {
        response.writeHead(200, { ...headers, 'content-type': type })
        file.pipe(response)
        resolve()
      })
    })
  }
}

/** Refuses pages of other origins in a browser of this machine, for reading and for actions. */
function isLocal({ headers, method }: IncomingMessage): boolean {
  const local = /^(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/
  if (!local.test(headers.host ?? '')) return false
  if (method !== 'POST') return true
  const origin = headers.origin
  const isJson = headers['content-type']?.startsWith('application/json') ?? false
  return isJson && (origin === undefined || origin === `http://${headers.host}`)
}

async function bodyOf(request: IncomingMessage): Promise<Record<string, unknown>> {
  let text = ''
  for await (const chunk of request.setEncoding('utf8')) {
    text += chunk
    if (text.length > mostBody) throw new UserError('Too much')
  }
  try {
    const body: unknown = JSON.parse(text)
    if (typeof body === 'object' && body !== null) return body as Record<string, unknown>
  } catch {
    // reported below
  }
  throw new UserError('The body must be a JSON object')
}

function json(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { ...headers, 'content-type': 'application/json' }).end(JSON.stringify(body))
}
