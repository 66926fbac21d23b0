import { setTimeout as sleep } from 'node:timers/promises'
import { now } from '../shop/clock.js'
import type { Feed, Mark } from './feed.js'
import { ReplicaProcess, type ReplicaSettings } from '../supervisor/replica-process.js'
import type { Sections } from '../supervisor/sections.js'
import { ShopClient } from '../supervisor/shop-client.js'

/** How long a starting replica may take before it is ended. */
const patience = 5_000

/** A numbered place for a replica; its process may be killed and started again. */
interface Berth {
  readonly number: number
  status: 'starting' | 'open' | 'stopped'
  process: ReplicaProcess | undefined
  shop: ShopClient | undefined
}

export interface FleetOptions extends Pick<ReplicaSettings, 'databaseUrl' | 'slowness'> {
  readonly replicas: number
  readonly feed: Feed
  readonly sections: Sections
  readonly onChange: () => void
}

/** The replicas of the live shop, which can be killed and restarted during a sale. */
export class Fleet {
  readonly #options: FleetOptions
  readonly #berths: readonly Berth[]
  #locks = true
  #next = 0

  constructor(options: FleetOptions) {
    this.#options = options
    this.#berths = Array.from({ length: options.replicas }, (_, index) => ({
      number: index + 1,
      status: 'stopped',
      process: undefined,
      shop: undefined,
    }))
  }

  get replicas(): readonly Pick<Berth, 'number' | 'status' | 'process'>[] {
    return this.#berths
  }

  startAll(): void {
    for (const { number } of this.#berths) this.start(number)
  }

  /** Starts a replica; does nothing if it already runs. */
  start(number: number): void {
    const berth = this.#berths[number - 1]!
    if (berth.status !== 'stopped') return
    const { databaseUrl, slowness, feed, sections } = this.#options
    const process = new ReplicaProcess(number, {
      databaseUrl,
      ...(slowness === undefined ? {} : { slowness }),
      locks: this.#locks ? 'on' : 'off',
      onActivities: (activities) => {
        if (berth.process !== process) return // a late report of a killed process: its stays have ended already
        sections.add(number, activities)
        const shown = activities.filter(([, kind]) => kind !== 'worked')
        feed.show(shown.map((activity) => [number, ...activity] as const))
      },
    })
    berth.process = process
    this.#set(berth, 'starting')
    process.opened.then(
      (port) => {
        berth.shop = new ShopClient(port)
        process.setLocks(this.#locks) // the switch may have changed during the start
        this.#mark(number, 'opened')
        this.#set(berth, 'open')
      },
      () => undefined, // the process ended before its shop opened
    )
    void process.ended.then((end) => {
      berth.process = undefined
      berth.shop = undefined
      this.#mark(number, end === 'SIGKILL' ? 'killed' : 'ended')
      this.#set(berth, 'stopped')
    })
  }

  /** Kills a replica with SIGKILL, like a power failure. Does nothing if it does not run. */
  async kill(number: number): Promise<void> {
    await this.#berths[number - 1]!.process?.kill()
  }

  setLocks(on: boolean): void {
    this.#locks = on
    for (const { process } of this.#berths) process?.setLocks(on)
    this.#mark(0, on ? 'locksOn' : 'locksOff')
  }

  /** Marks the beginning or the end of a sale on the timeline. */
  markSale(mark: 'saleBegins' | 'saleEnds'): void {
    this.#mark(0, mark)
  }

  /** The next open shop, round robin; undefined if there is none. */
  nextShop(): { readonly number: number; readonly shop: ShopClient } | undefined {
    for (let tries = 0; tries < this.#berths.length; tries++) {
      const { number, shop } = this.#berths[this.#next++ % this.#berths.length]!
      if (shop) return { number, shop }
    }
    return undefined
  }

  /** Shuts all replicas down gracefully. If one fails to, the others still do. */
  async close(): Promise<void> {
    const running = this.#berths.flatMap(({ process }) => process ?? [])
    await Promise.allSettled(
      running.map(async (process) => {
        await Promise.race([process.opened, process.ended, sleep(patience)]).catch(() => undefined)
        await process.close()
      }),
    )
  }

  #set(berth: Berth, status: Berth['status']): void {
    berth.status = status
    this.#options.onChange()
  }

  #mark(replica: number, mark: Mark): void {
    this.#options.feed.show([[replica, now(), mark]])
  }
}
