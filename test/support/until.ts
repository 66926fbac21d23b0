import { setTimeout as sleep } from 'node:timers/promises'

export interface UntilOptions {
  /** Milliseconds until it is given up. */
  within?: number
  /** Milliseconds between two looks. */
  every?: number
}

/** Waits until `condition` gives something truthy, and gives it back. What it throws counts as "not yet". */
export async function until<T>(
  description: string,
  condition: () => T | Promise<T>,
  { within = 15_000, every = 10 }: UntilOptions = {},
): Promise<NonNullable<T>> {
  const end = performance.now() + within
  let last: unknown
  for (;;) {
    try {
      const value = await condition()
      if (value) return value
      last = value
    } catch (error) {
      last = error
    }
    if (performance.now() >= end) {
      const cause = last instanceof Error ? { cause: last } : {}
      throw new Error(`Waited ${within} ms in vain for: ${description} (last: ${String(last)})`, cause)
    }
    await sleep(every)
  }
}

/** Whatever `promise` comes to, within a limit: a hang becomes a failure that says what hung. */
export async function settlesWithin<T>(ms: number, description: string, promise: PromiseLike<T>): Promise<T> {
  const end = new AbortController()
  const late = sleep(ms, undefined, { signal: end.signal }).then(() => {
    throw new Error(`Not settled after ${ms} ms: ${description}`)
  })
  late.catch(() => undefined) // the race is over when it is aborted
  try {
    return await Promise.race([promise, late])
  } finally {
    end.abort()
  }
}
