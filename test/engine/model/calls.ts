import {
  NamedLockClosedError,
  NamedLockDeadlockError,
  NamedLockError,
  NamedLockLostError,
  NamedLockTimeoutError,
  type NamedLock,
} from '../../../src/index.js'
import { until } from '../../support/until.js'
import { GRACE, type Call, type Side, type World } from './world.js'

export interface CallPlan {
  readonly what: string
  readonly side: Side
  readonly names: readonly string[]
  readonly timeout: number
  readonly isInOrder: boolean
  readonly isShared?: boolean | undefined
  readonly controller?: AbortController | undefined
  readonly isNested?: boolean
}

let lastId = 0

/** Notes a call; `run` makes it. Its outcome is judged, whatever it is, and its promise never rejects. */
export function begin(world: World, plan: CallPlan, run: (call: Call) => Promise<unknown>): Call {
  const call: Call = {
    ...plan,
    id: ++lastId,
    locks: plan.side.locks,
    controller: plan.controller,
    isNested: plan.isNested ?? false,
    isShared: plan.isShared ?? false,
    startedAt: performance.now(),
    state: 'pending',
    lock: undefined,
    grantedAt: 0,
    finish: undefined,
    settled: Promise.resolve(),
  }
  world.note(
    `${plan.what} #${call.id} ${plan.side.name} ${plan.names.join(',')} within ${plan.timeout}${plan.isShared ? ' for readers' : ''}`,
  )
  world.touch(plan.names)
  world.calls.add(call)
  call.settled = run(call)
    .then(
      () => undefined,
      (error: unknown) => judge(world, call, error),
    )
    .finally(() => over(world, call))
  return call
}

/** The lock has been granted: no other call may believe in it. */
export function granted(world: World, call: Call, lock: NamedLock<any>): void {
  const now = performance.now()
  call.state = 'held'
  call.lock = lock
  call.grantedAt = now
  world.note(`granted #${call.id} ${call.names.join(',')} after ${(now - call.startedAt).toFixed(1)}`)
  world.touch(call.names)
  for (const name of call.names) {
    const stranger = world.strangers.find((one) => one.name === name)
    if (stranger && call.lock.isHeld && call.side.disturbedAt < call.startedAt) {
      world.violation(`#${call.id} was granted '${name}' while a stranger held it`)
    }
    for (const other of world.holdersOf(name))
      if (!call.isShared || !other.isShared) checkAlone(world, name, call, other)
    world.holdersOf(name).add(call)
  }
  if (call.isInOrder) checkOrder(world, call)
}

/** The caller gives up what it holds: from here on any call may have it. */
export function letGo(world: World, call: Call): void {
  if (call.state !== 'held') return
  call.state = 'over'
  world.touch(call.names)
  for (const name of call.names) world.holdersOf(name).delete(call)
}

export function release(world: World, call: Call): Promise<void> {
  world.note(`release #${call.id} ${call.names.join(',')}`)
  letGo(world, call)
  return call.lock!.release()
}

function over(world: World, call: Call): void {
  // A handle lives on after the call that gave it.
  if (call.state === 'held' && call.what !== 'withLock' && call.what !== 'transaction') return
  letGo(world, call)
  call.state = 'over'
  world.calls.delete(call)
  world.touch(call.names)
}

function checkAlone(world: World, name: string, call: Call, other: Call): void {
  if (!other.lock?.isHeld || !call.lock?.isHeld) return
  const what = `#${call.id} (${call.side.name}) and #${other.id} (${other.side.name}) both hold '${name}'`
  const disturbedAt = Math.max(call.side.disturbedAt, other.side.disturbedAt)
  if (disturbedAt < other.grantedAt - 50) {
    world.violation(what)
    return
  }
  // After a KILL the server lets go at once, and the holder hears of it a few milliseconds later.
  world.note(`both #${call.id} and #${other.id} for a moment`)
  until(what, () => !other.lock?.isHeld || !call.lock?.isHeld || other.state === 'over' || call.state === 'over', {
    within: 500,
    every: 1,
  }).catch(() => world.violation(`${what}, and neither has lost it`))
}

/** First in, first out among the callers of one slot. */
function checkOrder(world: World, call: Call): void {
  const name = call.names[0]!
  const earlier = world.pending(name).find((other) => {
    // Readers are let in together; which promise resolves first says nothing.
    if (call.isShared && other.isShared) return false
    return other.locks === call.locks && other.isInOrder && other.id < call.id && !other.controller?.signal.aborted
  })
  if (!earlier || performance.now() >= earlier.startedAt + earlier.timeout - 20) return
  world.violation(`#${call.id} overtook #${earlier.id} in the queue for '${name}'`)
}

function judge(world: World, call: Call, error: unknown): void {
  const now = performance.now()
  const elapsed = now - call.startedAt
  world.note(`rejected #${call.id} ${String(error).slice(0, 110)}`)
  const { side } = call
  const disturbed = side.disturbedAt > call.startedAt - GRACE
  const isClosing = side.closing || call.locks !== side.locks
  const isFair = ((): boolean => {
    if (call.controller?.signal.aborted && error === call.controller.signal.reason) return true
    if (error instanceof NamedLockTimeoutError) return elapsed >= call.timeout - 2
    if (error instanceof NamedLockClosedError) return isClosing
    if (error instanceof NamedLockLostError) return disturbed || isClosing
    if (error instanceof NamedLockDeadlockError) return call.isNested
    if (error instanceof NamedLockError) return error.code === 'DATABASE' && disturbed
    return false
  })()
  if (!isFair) world.violation(`#${call.id} rejected after ${elapsed.toFixed(1)} ms with ${describe(error)}`)
}

function describe(error: unknown): string {
  return error instanceof Error ? `${error.stack ?? error.message}` : `the non-error ${String(error)}`
}
