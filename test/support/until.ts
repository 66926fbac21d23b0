import { setTimeout as sleep } from 'node:timers/promises'

export interface UntilOptions {
  /** Milliseconds until it fails. */
  within?: number
  /** Milliseconds between two checks. */
  every?: number
}

/** Waits until `condition` returns a truthy value, and resolves to it. An error thrown by it counts as "not yet". */
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

/** Settles like `promise` within a limit: a hang becomes a failure with its description. */
export async function settlesWithin<T>(ms: number, description: string, promise: PromiseLike<T>): Promise<T> {
  const end = new AbortController()
  const late = sleep(ms, undefined, { signal: end.signal }).then(() => {
    throw new Error(`Not settled after ${ms} ms: ${description}`)
  })
  late.catch(() => undefined) // the race is over when this is aborted
  try {
    return await Promise.race([promise, late])
  } finally {
    end.abort()
  }
}
