import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises'
import {
  NamedLockClosedError,
  NamedLockError,
  NamedLockLostError,
  NamedLockService,
  NamedLockTimeoutError,
  type NamedLock,
  type NamedLockServiceOptions,
} from '../../src/index.js'
import { forEachDialect, type Conformance } from '../support/conformance.js'
import type { DataSource } from '../support/typeorms.js'
import { until } from '../support/until.js'
import { Random } from './model/random.js'

/** NAMED_LOCK_STEPS and NAMED_LOCK_SEED as for the other model. */
const STEPS = Number(process.env.NAMED_LOCK_STEPS ?? 900)
const SEED = Number(process.env.NAMED_LOCK_SEED ?? Math.floor(Math.random() * 2 ** 31))
/** How long something may look wrong: what is on its way between client and server, and back-off after a disturbance. */
const GRACE = 2_000

interface Side {
  readonly dataSource: DataSource
  readonly options: NamedLockServiceOptions
  locks: NamedLockService
  isClosing: boolean
}

interface Call {
  readonly id: number
  readonly side: Side
  readonly locks: NamedLockService
  readonly name: string
  readonly permits: number
  readonly timeout: number
  readonly startedAt: number
  /** On the shared session: callers of one service that see the same permits are served in their order. */
  readonly isInOrder: boolean
  readonly controller: AbortController
  lock: NamedLock<unknown> | undefined
  grantedAt: number
  /** Ends the work of a scoped call. */
  finish: (() => void) | undefined
}

/**
 * Random calls of services with different numbers of permits, and random faults, against a model that knows which call has which permit.
 *
 * Always: no two calls have one permit, none has one beyond its number, callers that see the same permits are served in order, and
 * none is late. At every rest: each free permit finds its waiter, and the server has no lock that no call has.
 */
class Model {
  readonly violations: string[] = []
  readonly pending = new Set<Call>()
  readonly held = new Set<Call>()
  readonly sides: Side[] = []
  readonly history: string[] = []
  grants = 0
  faults = 0
  #disturbedAt = -Infinity
  #lastId = 0
  readonly #ctx: Conformance
  readonly #random: Random

  constructor(ctx: Conformance, random: Random) {
    this.#ctx = ctx
    this.#random = random
  }

  async addSide(options: NamedLockServiceOptions, dataSource: DataSource): Promise<void> {
    const all = { namespace: this.#ctx.database, closeTimeout: 200, ...options }
    this.sides.push({ dataSource, options: all, locks: await this.#ctx.service(all, dataSource), isClosing: false })
  }

  step(): void {
    const random = this.#random
    const side = random.pick(this.sides) as Side
    switch (random.weighted({ call: 45, release: 40, abort: 8, kill: 0.6, killQuery: 1.5, close: 0.5 })) {
      case 'call':
        if (this.pending.size + this.held.size < 50) this.call(side)
        return
      case 'release':
        this.release(random.pick([...this.held]))
        return
      case 'abort':
        random.pick([...this.pending])?.controller.abort(new Error('enough'))
        return
      case 'kill':
      case 'killQuery':
        void this.#harm(random.chance(0.3))
        return
      case 'close':
        if (!side.isClosing) void this.#close(side)
    }
  }

  call(side: Side): void {
    const random = this.#random
    const kind = random.weighted({ acquire: 55, dedicated: 12, transaction: 12, withLock: 11, try: 10 })
    const call: Call = {
      id: ++this.#lastId,
      side,
      locks: side.locks,
      name: random.pick(['a', 'b']) as string,
      permits: random.pick([1, 3, 3, 3, 5]) as number,
      timeout: kind === 'try' ? 0 : (random.pick([5, 40, 150, 600, 3_000]) as number),
      startedAt: performance.now(),
      isInOrder: kind === 'acquire' || kind === 'withLock',
      controller: this.#ctx.abortController(),
      lock: undefined,
      grantedAt: 0,
      finish: undefined,
    }
    this.#note(`${kind} #${call.id} ${call.name} ${call.permits} within ${call.timeout}`)
    this.pending.add(call)
    const { locks, name, permits, timeout, controller } = call
    const options = { permits, timeout, signal: controller.signal }
    const work = async (lock: NamedLock<unknown>): Promise<void> => {
      this.#granted(call, lock)
      await new Promise<void>((resolve) => (call.finish = resolve))
      this.held.delete(call)
    }
    const made =
      kind === 'transaction'
        ? locks.transaction(name, options, (_manager, lock) => work(lock))
        : kind === 'withLock'
          ? locks.withLock(name, options, work)
          : kind === 'try'
            ? locks.tryAcquire(name, { permits }).then((lock) => lock && this.#granted(call, lock))
            : locks
                .acquire(name, { ...options, session: kind === 'dedicated' ? 'dedicated' : 'shared' })
                .then((lock) => this.#granted(call, lock))
    made
      .catch((error: unknown) => this.#judge(call, error))
      .finally(() => {
        this.pending.delete(call)
        if (call.finish) this.held.delete(call)
      })
  }

  release(call: Call | undefined): void {
    if (!call) return
    this.#note(`release #${call.id}`)
    this.held.delete(call)
    if (call.finish) call.finish()
    else void call.lock?.release().catch((error: unknown) => this.violations.push(`release: ${String(error)}`))
  }

  #granted(call: Call, lock: NamedLock<unknown>): void {
    const now = performance.now()
    this.grants++
    this.pending.delete(call)
    call.lock = lock
    call.grantedAt = now
    this.#note(`granted #${call.id} ${call.name} [${lock.permit}] after ${(now - call.startedAt).toFixed(1)}`)
    if (lock.permit === undefined || lock.permit >= call.permits)
      this.violations.push(`#${call.id} with ${call.permits} has ${lock.permit}`)
    for (const other of this.held) if (other.lock?.key === lock.key) this.#checkAlone(call, other)
    this.held.add(call)
    if (!call.isInOrder) return
    for (const other of this.pending) {
      const isLater = other.id > call.id || other.locks !== call.locks || other.name !== call.name
      if (isLater || !other.isInOrder || other.permits !== call.permits || other.controller.signal.aborted) continue
      if (now >= other.startedAt + other.timeout - 20) continue
      // Two permits may be granted by one answer, and their promises resolve in any order then.
      setImmediate(() => {
        if (this.pending.has(other)) this.violations.push(`#${call.id} overtook #${other.id}`)
      })
    }
  }

  /** After a KILL the server lets go at once, and the holder hears of it a few milliseconds later. */
  #checkAlone(call: Call, other: Call): void {
    const both = (): boolean =>
      this.held.has(call) && this.held.has(other) && call.lock?.isHeld === true && other.lock?.isHeld === true
    if (!other.lock?.isHeld || !call.lock?.isHeld) return
    const what = `#${call.id} and #${other.id} both have ${call.lock.key}`
    if (this.#disturbedAt < other.grantedAt - 50) this.violations.push(what)
    else until(what, () => !both(), { within: 500, every: 1 }).catch(() => this.violations.push(`${what} for long`))
  }

  #judge(call: Call, error: unknown): void {
    const elapsed = performance.now() - call.startedAt
    this.#note(`rejected #${call.id} ${String(error).slice(0, 100)}`)
    const isDisturbed = this.#disturbedAt > call.startedAt - GRACE
    const isClosing = call.side.isClosing || call.locks !== call.side.locks
    const isFair =
      (call.controller.signal.aborted && error === call.controller.signal.reason) ||
      (error instanceof NamedLockTimeoutError
        ? elapsed >= call.timeout - 2
        : error instanceof NamedLockClosedError
          ? isClosing
          : error instanceof NamedLockLostError
            ? isDisturbed || isClosing
            : error instanceof NamedLockError && error.code === 'DATABASE' && isDisturbed)
    if (!isFair) this.violations.push(`#${call.id} after ${elapsed.toFixed(1)} ms: ${(error as Error).stack}`)
  }

  /** Nothing is free that a caller waits for; nothing is late. */
  async look(): Promise<void> {
    const now = performance.now()
    for (const call of this.pending) {
      if (now > call.startedAt + Math.max(call.timeout, 3_000) + 700) this.violations.push(`#${call.id} is late`)
    }
    const isSteady = now - this.#disturbedAt > GRACE && this.sides.every(({ isClosing }) => !isClosing)
    const waiting = [...this.pending].filter(({ startedAt, timeout }) => timeout > 0 && now > startedAt + 1_000)
    if (!isSteady || waiting.length === 0) return
    const locked = await Promise.all(
      waiting.map(({ locks, name, permits }) => locks.isLocked(name, { permits }).catch(() => true)),
    )
    waiting.forEach((call, i) => {
      if (!locked[i] && this.pending.has(call)) this.#suspects.set(call, (this.#suspects.get(call) ?? 0) + 1)
      else this.#suspects.delete(call)
      if ((this.#suspects.get(call) ?? 0) > 8) this.violations.push(`#${call.id} waits for a permit that is free`)
    })
  }

  readonly #suspects = new Map<Call, number>()

  async rest(): Promise<void> {
    this.#note('rest')
    await until(
      'all calls to be settled',
      () => {
        this.check()
        for (const call of this.held) this.release(call)
        return this.pending.size + this.held.size === 0
      },
      { within: 8_000, every: 5 },
    ).catch((error: Error) => {
      throw new Error(`${error.message}: ${[...this.pending, ...this.held].map(({ id }) => `#${id}`).join()}`)
    })
    await until('no service to be closing', () => this.sides.every(({ isClosing }) => !isClosing))
    await until(
      'no lock on the server',
      async () => (await this.#ctx.outsider.userLocksOf(this.#ctx.database)).length === 0,
      { within: 4_000, every: 20 },
    )
    this.check()
  }

  check(): void {
    if (this.violations.length > 0) throw new Error(this.violations.slice(0, 5).join('\n'))
  }

  async #harm(isDeadly: boolean): Promise<void> {
    const { outsider, database } = this.#ctx
    const connections = await outsider.connectionsOf(database)
    const connection = this.#random.pick(connections)
    if (!connection) return
    this.faults++
    this.#disturbedAt = performance.now()
    this.#note(`${isDeadly ? 'kill' : 'cancel'} ${connection.id}`)
    await outsider[isDeadly ? 'kill' : 'cancel'](connection.id).catch(() => undefined)
    this.#disturbedAt = performance.now()
  }

  async #close(side: Side): Promise<void> {
    side.isClosing = true
    this.#note('close')
    const old = side.locks
    await old.close()
    for (const call of this.held)
      if (call.locks === old && call.lock?.isHeld) this.violations.push(`#${call.id} is held on a closed service`)
    side.locks = this.#ctx.adopt(new NamedLockService(side.dataSource, side.options))
    side.isClosing = false
  }

  #note(text: string): void {
    this.history.push(`${performance.now().toFixed(1)} ${text}`)
  }
}

describe('permits against a model', () => {
  forEachDialect((ctx) => {
    it(`make ${STEPS} moves, seed ${SEED}`, async function () {
      this.timeout(60_000 + STEPS * 60)
      const random = new Random(SEED)
      const model = new Model(ctx, random)
      const one = await ctx.dataSource({ poolSize: 12 })
      await model.addSide({}, one)
      await model.addSide({ handOver: { times: 2, for: 20 }, lease: '3s' }, one)
      await model.addSide({ maxSessions: 1, lease: '2s' }, await ctx.dataSource({ poolSize: 4 }))
      try {
        for (let step = 1; step <= STEPS; step++) {
          model.step()
          const pause = random.weighted({ none: 45, turn: 30, short: 20, long: 4 })
          if (pause === 'turn') await turn()
          else if (pause !== 'none') await sleep(pause === 'short' ? random.int(1, 5) : random.int(10, 60))
          if (random.chance(0.1)) await model.look()
          model.check()
          if (step % 150 === 0) await model.rest()
        }
        await model.rest()
      } catch (error) {
        console.log(`seed ${SEED}\n${model.history.slice(-120).join('\n')}`)
        throw error
      }
      console.log(`        ${model.grants} grants, ${model.faults} faults`)
    })
  })
})
