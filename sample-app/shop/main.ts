import 'reflect-metadata'
import type { INestApplication } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import type { AddressInfo } from 'node:net'
import { watchLocks, type Activity } from './activity.js'
import { lockSwitch, NamedLockService } from './named-lock.js'
import { settings } from './settings.js'
import { ShopModule } from './shop.module.js'

/** The messages of a replica to its supervisor, if it has one. */
export type ReplicaMessage = { readonly open: { readonly port: number } } | { readonly activities: readonly Activity[] }
/** The messages of the supervisor to a replica. */
export type SupervisorMessage = { readonly locks: boolean } | { readonly close: true }

/** One replica of the shop: a process of its own, with its own connections and its own NamedLockService. */
async function openShop(): Promise<void> {
  if (process.send) watchLocks((activities) => send({ activities }))
  const app = await NestFactory.create(ShopModule, { logger: ['error', 'fatal'], forceCloseConnections: true })
  if (process.send) obey(app)
  else app.enableShutdownHooks()

  // All replicas start at the same time. One runs the migrations, the others wait for it; then the shop opens.
  await app.get(NamedLockService).runMigrations()
  await app.listen(settings.port, '127.0.0.1')
  const { port } = app.getHttpServer().address() as AddressInfo
  send({ open: { port } })
  if (!process.send) console.log(`Replica ${settings.replica} of the ticket shop: http://127.0.0.1:${port}`)
}

function obey(app: INestApplication): void {
  process.on('message', (message: SupervisorMessage) => {
    if ('locks' in message) lockSwitch.on = message.locks
    else void close(app)
  })
}

let isClosing = false

async function close(app: INestApplication): Promise<void> {
  isClosing = true
  try {
    await app.close()
    process.off('disconnect', abandon)
    process.disconnect() // only this channel still keeps the process alive
  } catch (error) {
    fail(error)
  }
}

function send(message: ReplicaMessage): void {
  process.send?.(message, undefined, undefined, () => undefined)
}

/** Ends the replica when its supervisor is gone; otherwise it would run forever. */
function abandon(): void {
  process.exit(1)
}

function fail(error: unknown): void {
  console.error(`Replica ${settings.replica}:`, error)
  process.exit(1)
}

if (process.send) {
  process.on('disconnect', abandon)
  process.on('SIGINT', () => undefined) // Ctrl-C goes to the supervisor as well, which ends its replicas
}

openShop().catch((error: unknown) => {
  if (!isClosing) fail(error) // otherwise it was closed before it was open
})
