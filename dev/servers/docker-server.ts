import { existsSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ContainerRuntimeClient, StartedTestContainer } from 'testcontainers'
import { chosenVersion, type ChosenVersion } from './chosen-version.js'
import { dockerRecipes } from './docker-recipes.js'
import { engines } from './engines.js'
import { freePort } from './free-port.js'
import { withMysqlConnection } from './mysql-client.js'
import { appLogin, urlOf, WayNotOpen, type Log, type RunningServer, type ServerKind } from './server-types.js'

const answerLimit = 5000
const startLimit = 120_000
const { username, password, database } = appLogin

/**
 * A container of the kind's official image; `NAMED_LOCK_MYSQL_IMAGE` and the like name another, and a chosen version of
 * PostgreSQL chooses its image.
 */
export async function dockerServer(kind: ServerKind, args: readonly string[], log: Log): Promise<RunningServer> {
  const chosen = chosenVersion(kind)
  if (chosen?.from === 'debian') throw new WayNotOpen('a version of another source is chosen')
  if (!mayHaveDocker()) throw new WayNotOpen('no Docker on this machine')
  // Loaded late, because loading it takes longer than starting some servers.
  const { GenericContainer, getContainerRuntimeClient, ImageName, Wait } = await import('testcontainers')
  const client = await inTime(getContainerRuntimeClient(), answerLimit)
  if (!client) throw new WayNotOpen('Docker does not respond')
  const recipe = dockerRecipes[kind]
  const image = process.env[`NAMED_LOCK_${kind.toUpperCase()}_IMAGE`] ?? imageOf(chosen) ?? recipe.image
  if (!(await client.image.exists(ImageName.fromString(image)))) log(`Docker downloads ${image}`)
  // A fixed port: one chosen by Docker would change with a restart.
  const port = await freePort()
  const container = await new GenericContainer(image)
    .withExposedPorts({ container: recipe.port, host: port })
    .withEnvironment(recipe.environment)
    .withCommand([...recipe.args, ...args])
    .withWaitStrategy(Wait.forAll([])) // the wait below also detects that the container has ended
    .start()
  const server = new DockerServer(kind, container, client, port)
  try {
    await server.prepare()
    return server
  } catch (error) {
    await server.stop()
    throw error
  }
}

function imageOf(chosen: ChosenVersion | undefined): string | undefined {
  return chosen?.from === 'npm' ? `postgres:${chosen.major}` : undefined
}

class DockerServer implements RunningServer {
  readonly origin = 'docker'
  readonly host: string
  readonly username = username
  readonly password = password
  readonly database = database
  readonly canControl = true
  readonly #container: StartedTestContainer
  readonly #client: ContainerRuntimeClient
  #version = ''
  #stopped: Promise<unknown> | undefined

  constructor(
    readonly kind: ServerKind,
    container: StartedTestContainer,
    client: ContainerRuntimeClient,
    readonly port: number,
  ) {
    this.host = container.getHost()
    this.#container = container
    this.#client = client
  }

  get version(): string {
    return this.#version
  }

  get url(): string {
    return urlOf(this)
  }

  async prepare(): Promise<void> {
    const root = { host: this.host, port: this.port, username: 'root', password: '' }
    // The images grant their user only one database.
    const grant = `GRANT ALL ON *.* TO '${username}'@'%' WITH GRANT OPTION`
    if (this.kind !== 'postgres') {
      await this.#whenItAnswers(() => withMysqlConnection(root, (connection) => connection.query(grant)))
    }
    await this.#identify()
  }

  async stop(): Promise<void> {
    this.#stopped ??= this.kill().then(() => this.#container.stop({ timeout: 0, remove: true, removeVolumes: true }))
    await this.#stopped
  }

  async kill(): Promise<void> {
    const handle = this.#handle()
    const { State } = await handle.inspect()
    if (!State.Running) return
    if (State.Paused) await handle.unpause() // a paused container takes no signals
    const gone = handle.wait()
    await handle.kill({ signal: 'KILL' })
    await gone
  }

  async freeze(): Promise<void> {
    await this.#handle().pause()
  }

  async thaw(): Promise<void> {
    await this.#handle().unpause()
  }

  async restart(): Promise<void> {
    if (this.#stopped) throw new Error(`This ${this.kind} server was stopped; its data is gone`)
    await this.kill()
    await this.#handle().start()
    await this.#identify()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  async #identify(): Promise<void> {
    const { version } = await this.#whenItAnswers(() => engines[this.kind].identify(this))
    this.#version = version
  }

  async #whenItAnswers<T>(work: () => Promise<T>): Promise<T> {
    const giveUpAt = Date.now() + startLimit
    for (;;) {
      try {
        return await work()
      } catch (cause) {
        const { State } = await this.#handle().inspect()
        if (!State.Running || Date.now() > giveUpAt) {
          const log = await this.#handle().logs({ stdout: true, stderr: true, tail: 12 })
          throw new Error(`The ${this.kind} container did not start. Its log ends:\n${textOf(log)}`, { cause })
        }
        await sleep(100)
      }
    }
  }

  #handle() {
    return this.#client.container.getById(this.#container.getId())
  }
}

/** A cheap check, usually right: testcontainers itself takes long to detect that Docker is missing. */
function mayHaveDocker(): boolean {
  if (process.platform === 'win32' || process.env.DOCKER_HOST) return true
  const home = os.homedir()
  const runtime = process.env.XDG_RUNTIME_DIR ?? `/run/user/${process.getuid?.()}`
  const places = [
    '/var/run/docker.sock',
    path.join(runtime, 'docker.sock'),
    path.join(home, '.docker/run/docker.sock'),
    path.join(home, '.docker/desktop/docker.sock'),
    path.join(home, '.testcontainers.properties'),
  ]
  return places.some((place) => existsSync(place))
}

async function inTime<T>(promise: Promise<T>, limit: number): Promise<T | undefined> {
  const timer = new AbortController()
  const late = sleep(limit, undefined, { signal: timer.signal }).catch(() => undefined)
  try {
    return await Promise.race([promise.catch(() => undefined), late])
  } finally {
    timer.abort()
  }
}

/** Docker sends output in frames: the stream (one byte), three zero bytes, the length (four bytes), and the data. */
function textOf(frames: Buffer): string {
  let text = ''
  for (let at = 0; at + 8 <= frames.length;) {
    const end = at + 8 + frames.readUInt32BE(at + 4)
    text += frames.toString('utf8', at + 8, end)
    at = end
  }
  return text
}
