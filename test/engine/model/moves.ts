import { expect } from 'chai'
import { NamedLockReentrancyError, NamedLockService } from '../../../src/index.js'
import { leftOnConnection } from '../left-on-connection.js'
import { begin, granted, letGo, release, type CallPlan } from './calls.js'
import type { Random } from './random.js'
import type { Call, Side, World } from './world.js'

const MOST_CALLS = 60

/** What can happen, and how often. */
export const weights = {
  acquire: 24,
  tryAcquire: 8,
  several: 8,
  withLock: 10,
  transaction: 5,
  abort: 8,
  abortAndRelease: 6,
  release: 26,
  finish: 14,
  strangerTakes: 6,
  strangerWaits: 3,
  strangerReleases: 9,
  application: 3,
  kill: 0.8,
  killQuery: 2,
  close: 0.4,
}

export type Move = keyof typeof weights

/** Makes one move, without waiting for what comes of it. */
export function make(move: Move, world: World, random: Random): void {
  const side = random.pick(world.sides)!
  const name = random.pick(world.names)!
  const isFull = world.calls.size >= MOST_CALLS
  switch (move) {
    case 'acquire':
      if (!isFull) acquire(world, random, side, [name])
      return
    case 'several':
      if (!isFull) acquire(world, random, side, random.some(together(world, name), random.int(2, 3)))
      return
    case 'tryAcquire':
      if (!isFull) tryAcquire(world, random, side, name)
      return
    case 'withLock':
    case 'transaction':
      if (!isFull) scoped(world, random, move, side, name)
      return
    case 'abort':
      random.pick(world.pending().filter((call) => call.controller))?.controller?.abort(`enough ${random.int(1, 999)}`)
      return
    case 'abortAndRelease':
      abortAndRelease(world, random)
      return
    case 'release':
      releaseOne(world, random.pick(handles(world)))
      return
    case 'finish':
      random.pick(world.held().filter((call) => call.finish))?.finish?.()
      return
    case 'strangerTakes':
    case 'strangerWaits':
      // A foreign lock of a name that is used with a mode does not wait for readers.
      if (world.ctx.isPostgres || !world.isInModes(name)) strangerTakes(world, random, name, move === 'strangerWaits')
      return
    case 'strangerReleases':
      strangerReleases(world, random.pick(world.strangers.filter((one) => one.name && !one.busy)))
      return
    case 'application':
      void application(world, side)
      return
    case 'kill':
    case 'killQuery':
      kill(world, random, side, move === 'killQuery')
      return
    case 'close':
      if (!side.closing) void close(world, side)
  }
}

function timeoutOf(random: Random): number {
  return random.pick([5, 20, 60, 150, 400, 1_000, 3_000])!
}

/** The names that one call may have together with that one. */
function together(world: World, name: string): readonly string[] {
  return world.names.filter((other) => world.isInModes(other) === world.isInModes(name))
}

/** Readers, where the names are used with a mode. */
function reads(world: World, random: Random, names: readonly string[]): boolean {
  return names.every((name) => world.isInModes(name)) && random.chance(world.ctx.isPostgres ? 0.4 : 0.6)
}

function acquire(world: World, random: Random, side: Side, names: readonly string[]): void {
  const session = random.chance(0.12) ? 'dedicated' : 'shared'
  const controller = random.chance(0.4) ? world.ctx.abortController() : undefined
  const timeout = timeoutOf(random)
  const isInOrder = names.length === 1 && session === 'shared'
  const isShared = reads(world, random, names)
  begin(world, { what: 'acquire', side, names, timeout, isInOrder, isShared, controller }, async (call) => {
    const signal = controller && { signal: controller.signal }
    const lock = await call.locks.acquire([...names], {
      timeout,
      session,
      mode: world.modeOf(names, isShared),
      ...signal,
    })
    granted(world, call, lock)
  })
}

function tryAcquire(world: World, random: Random, side: Side, name: string): void {
  const isShared = reads(world, random, [name])
  begin(world, { what: 'try', side, names: [name], timeout: 0, isInOrder: false, isShared }, async (call) => {
    const before = performance.now()
    const lonely = () => {
      const others = [...world.calls].some((other) => other !== call && other.names.includes(name))
      return !others && !world.strangers.some((one) => one.name === name || one.busy)
    }
    const wasLonely = lonely() && before - (world.touchedAt.get(name) ?? 0) > 500
    world.touch([name])
    const lock = await call.locks.tryAcquire(name, { mode: world.modeOf([name], isShared) })
    if (lock) granted(world, call, lock)
    else if (wasLonely && lonely() && side.disturbedAt < before - 500) {
      world.violation(`#${call.id}: '${name}' has been free for half a second, and a try did not get it`)
    }
  })
}

function scoped(world: World, random: Random, what: 'withLock' | 'transaction', side: Side, name: string): void {
  const timeout = timeoutOf(random)
  const shared = reads(world, random, [name])
  const mode = world.modeOf([name], shared)
  const inner = random.chance(0.5) ? random.pick(world.names) : undefined
  const plan: CallPlan = { what, side, names: [name], timeout, isInOrder: what === 'withLock', isShared: shared }
  begin(world, plan, async (call) => {
    const work = async () => {
      const ended = new Promise<void>((resolve) => (call.finish = resolve))
      if (inner) await nested(world, call, inner)
      await ended
      letGo(world, call)
    }
    if (what === 'withLock') {
      await call.locks.withLock(name, { timeout, mode }, (lock) => {
        granted(world, call, lock)
        return work()
      })
    } else {
      await call.locks.transaction(name, { timeout, mode }, async (manager, lock) => {
        granted(world, call, lock)
        await manager.query('SELECT 1').catch(() => undefined) // its connection may have been killed
        return work()
      })
    }
  })
}

/** A call inside the work: the same name again, or another one. Its own outcome is judged apart. */
async function nested(world: World, outer: Call, name: string): Promise<void> {
  const { side } = outer
  if (outer.what === 'transaction') return
  if (outer.names.includes(name)) {
    const again = () =>
      outer.locks.withLock(name, { mode: world.modeOf([name], false) }, () => expect.fail('the lock was taken twice'))
    await again().catch((error: unknown) => {
      if (!(error instanceof NamedLockReentrancyError)) world.violation(`#${outer.id} re-entered: ${String(error)}`)
    })
    await outer.locks
      .withLock(name, { reentrant: true, mode: world.modeOf([name], outer.isShared) }, () => undefined)
      .catch((error: unknown) => {
        if (outer.lock?.isHeld) world.violation(`#${outer.id} could not re-enter: ${String(error)}`)
      })
    return
  }
  // It queues a turn of a promise later than it is noted.
  const plan: CallPlan = { what: 'withLock', side, names: [name], timeout: 400, isInOrder: false, isNested: true }
  await begin(world, plan, (call) =>
    outer.locks.withLock(name, { timeout: 400, mode: world.modeOf([name], false) }, (lock) => {
      granted(world, call, lock)
      letGo(world, call)
    }),
  ).settled
}

export function handles(world: World): Call[] {
  return world.held().filter((call) => call.what === 'acquire' || call.what === 'try')
}

export function releaseOne(world: World, call: Call | undefined): void {
  if (!call) return
  void release(world, call).catch((error: unknown) => world.violation(`release #${call.id}: ${String(error)}`))
  world.calls.delete(call)
}

/** The moment of grant: waiting calls are aborted as the lock comes free. */
function abortAndRelease(world: World, random: Random): void {
  const waiting = random.pick(world.pending().filter((call) => call.controller))
  if (!waiting) return
  const name = random.pick(waiting.names)!
  const free = () => {
    for (const call of world.holdersOf(name)) if (handles(world).includes(call)) releaseOne(world, call)
    strangerReleases(
      world,
      world.strangers.find((one) => one.name === name && !one.busy),
    )
  }
  const abort = () => waiting.controller?.abort('enough at the moment of grant')
  const delay = random.pick([0, 0, 0, 1, 2])!
  if (random.chance(0.3)) abort()
  free()
  if (delay === 0) abort()
  else setTimeout(abort, delay)
}

function strangerTakes(world: World, random: Random, name: string, waits: boolean): void {
  const stranger = world.strangers.find((one) => !one.name && !one.busy)
  if (!stranger) return
  stranger.busy = true
  world.note(`stranger ${stranger.client.id} ${waits ? 'waits for' : 'tries'} ${name}`)
  void stranger.client
    .getLock(world.keyOf(name), waits ? random.int(1, 2) : 0)
    .then((got) => {
      world.touch([name])
      if (!got) return
      stranger.name = name
      world.note(`stranger ${stranger.client.id} has ${name}`)
      for (const call of world.holdersOf(name)) {
        if (!call.lock?.isHeld || call.side.disturbedAt > call.grantedAt - 50) continue
        world.violation(`a stranger was granted '${name}' while #${call.id} (${call.side.name}) held it`)
      }
    })
    .catch((error: unknown) => world.violation(`stranger: ${String(error)}`))
    .finally(() => (stranger.busy = false))
}

export function strangerReleases(world: World, stranger: World['strangers'][number] | undefined): void {
  if (!stranger?.name) return
  const { name } = stranger
  stranger.name = undefined
  stranger.busy = true
  world.note(`stranger ${stranger.client.id} releases ${name}`)
  void stranger.client
    .releaseLock(world.keyOf(name))
    .then((was) => was || world.violation(`a stranger had lost '${name}'`))
    .catch((error: unknown) => world.violation(`stranger: ${String(error)}`))
    .finally(() => (stranger.busy = false))
}

/** The application uses the pool: no connection that it gets may have a lock on it. */
export function application(world: World, side: Side): Promise<void> {
  const before = performance.now()
  return side.dataSource.query(leftOnConnection(world.ctx)).then(
    ([row]: { id: string; locks: string; w: string }[]) => {
      if (Number(row?.locks) > 0) world.violation(`connection ${row?.id} came out of the pool with ${row?.locks} locks`)
      if (Number(row?.w) > 0 && Number(row?.w) < 1_000)
        world.violation(`connection ${row?.id} came with a wait_timeout of ${row?.w}`)
    },
    (error: unknown) => {
      if (side.disturbedAt < before - 1_000) world.violation(`the application: ${String(error)}`)
    },
  )
}

function kill(world: World, random: Random, side: Side, statementOnly: boolean): void {
  void world
    .connectionsOf(side.home)
    .then(async (connections) => {
      const connection = random.pick(connections)
      if (!connection) return
      world.disturb(side.home)
      world.note(`${statementOnly ? 'killQuery' : 'kill'} ${connection.id} of ${side.name}: ${connection.statement}`)
      if (statementOnly) await world.looker.cancel(connection.id)
      else await world.looker.kill(connection.id)
    })
    .catch(() => undefined) // it has ended by itself
    .finally(() => world.disturb(side.home))
}

async function close(world: World, side: Side): Promise<void> {
  side.closing = true
  world.note(`close ${side.name}`)
  const start = performance.now()
  const old = side.locks
  await old.close()
  const took = performance.now() - start
  if (took > 1_500 && side.disturbedAt < start - 1_000) world.violation(`close() of ${side.name} took ${took} ms`)
  for (const call of world.held()) {
    if (call.locks === old && call.lock?.isHeld) world.violation(`#${call.id} is held on a closed service`)
  }
  world.note(`closed ${side.name}`)
  side.locks = world.ctx.adopt(new NamedLockService(side.dataSource, side.options))
  side.closing = false
}
