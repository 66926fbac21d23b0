import type { AcquireOptions, NamedLock, NamedLockService, NamedLockServiceOptions } from '../../src/index.js'
import type { Conformance } from './conformance.js'
import { clock } from './fixtures/clock.js'
import type { TcpProxy } from './tcp-proxy.js'
import type { DataSource } from './typeorms.js'
import { settlesWithin, until } from './until.js'

/** The scene of a fault test: a holder of a lock behind its own TCP proxy, and a waiter for it elsewhere. */
export class Scene {
  /** The time at which the holder's signal aborted. */
  lostAt: number | undefined
  /** The time at which the waiter got the lock. */
  grantedAt: number | undefined
  /** The holder's `isHeld` when the waiter got the lock. */
  wasHeldAtGrant: boolean | undefined
  #next: NamedLock | undefined

  private constructor(
    readonly name: string,
    readonly proxy: TcpProxy,
    /** The holder's. */
    readonly dataSource: DataSource,
    /** The holder's. */
    readonly service: NamedLockService,
    readonly lock: NamedLock,
    readonly waiter: NamedLockService,
  ) {}

  /** Sets the scene: the lock is held, and the waiter waits on the server. */
  static async set(
    ctx: Conformance,
    name: string,
    options: NamedLockServiceOptions = {},
    call: AcquireOptions<any> = {},
  ): Promise<Scene> {
    const proxy = await ctx.proxy()
    const dataSource = await ctx.dataSource({ port: proxy.port })
    const service = await ctx.service({ lease: '1s', ...options }, dataSource)
    const lock = (await service.acquire(name, call)) as NamedLock
    const scene = new Scene(name, proxy, dataSource, service, lock, await ctx.service({ lease: '1s' }))
    lock.signal.addEventListener('abort', () => (scene.lostAt = clock()))
    await scene.wait()
    return scene
  }

  /** Starts a waiter for the lock, elsewhere. */
  async wait(): Promise<void> {
    const isWaiting = new Promise<void>((resolve) => this.waiter.once('waiting', () => resolve()))
    this.waiter.acquire(this.name, { timeout: '60s' }).then(
      (next) => {
        this.grantedAt = clock()
        this.wasHeldAtGrant = this.lock.isHeld
        this.#next = next
      },
      () => undefined, // `granted` reports it
    )
    await settlesWithin(20_000, 'the waiter to wait', isWaiting)
  }

  /** Resolves when the holder has detected its loss. */
  async lost(within = 15_000): Promise<number> {
    return until(`the loss of '${this.name}'`, () => this.lostAt, { within, every: 2 })
  }

  /** Resolves when the waiter has the lock. */
  async granted(within = 25_000): Promise<NamedLock> {
    return until(`the next holder of '${this.name}'`, () => this.#next, { within, every: 2 })
  }

  /** Ends holder and waiter, and acquires the lock again with the holder's service. Resolves to the time that took. */
  async recovers(): Promise<number> {
    await this.#next?.release()
    await this.lock.release()
    const from = clock()
    const again = await settlesWithin(
      20_000,
      `'${this.name}' again`,
      this.service.acquire(this.name, { timeout: '19s' }),
    )
    const took = clock() - from
    if (!(await again.verify())) throw new Error(`'${this.name}' is not held after the fault`)
    await again.release()
    return took
  }
}
