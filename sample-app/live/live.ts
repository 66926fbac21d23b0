import colors from 'picocolors'
import type { DataSource } from 'typeorm'
import { Sections } from '../supervisor/sections.js'
import { UserError } from '../supervisor/user-error.js'
import { BoxOffice } from './box-office.js'
import { Feed } from './feed.js'
import { Fleet } from './fleet.js'
import { WebServer, type Handler } from './web-server.js'

export interface LiveOptions {
  readonly dataSource: DataSource
  readonly databaseUrl: string
  readonly replicas: number
  readonly port?: number | undefined
  /** Aborting it ends the shop. */
  readonly signal: AbortSignal
}

const customersAtFirst = 9
const mostCustomers = 40
/** The venue answers in 40 to 120 ms: slow enough to see the holders of locks. */
const slowness = 20

/** Runs the shop and its page until Ctrl-C. */
export async function runLive({ dataSource, databaseUrl, replicas, port, signal }: LiveOptions): Promise<void> {
  const feed = new Feed()
  const sections = new Sections(replicas)
  const fleet = new Fleet({ databaseUrl, slowness, replicas, feed, sections, onChange: () => boxOffice.show() })
  const database = await nameOf(dataSource)
  const boxOffice = new BoxOffice({ dataSource, database, fleet, feed, sections, customers: customersAtFirst, signal })
  const routes = { feed: feed.connect.bind(feed), actions: actions(fleet, boxOffice) }
  const web = await WebServer.open(routes, port)
  try {
    console.log(`\n  The ticket shop is live: ${colors.bold(web.url)}\n  Press Ctrl-C to stop it.\n`)
    fleet.startAll()
    await boxOffice.run()
    console.log('Closing the shop …')
  } finally {
    feed.close()
    await Promise.all([fleet.close(), web.close()])
  }
}

function actions(fleet: Fleet, boxOffice: BoxOffice): Record<string, Handler> {
  const replica = ({ replica }: Record<string, unknown>) => whole('replica', replica, 1, fleet.replicas.length)
  return {
    '/locks': ({ on }) => boxOffice.switchLocks(on === true),
    '/customers': ({ count }) => boxOffice.setCustomers(whole('count', count, 0, mostCustomers)),
    '/kill': (body) => fleet.kill(replica(body)),
    '/start': (body) => fleet.start(replica(body)),
    '/buy': ({ eventId }) => boxOffice.buy(whole('eventId', eventId, 1, 2)),
  }
}

function whole(name: string, value: unknown, from: number, to: number): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= from && value <= to) return value
  throw new UserError(`${name} must be a whole number from ${from} to ${to}`)
}

async function nameOf(dataSource: DataSource): Promise<string> {
  const [{ version }] = await dataSource.query('SELECT VERSION() AS version')
  const text = String(version)
  const product = ['PostgreSQL', 'MariaDB'].find((name) => text.includes(name)) ?? 'MySQL'
  return `${product} ${/\d[\d.]*/.exec(text)![0]}`
}
