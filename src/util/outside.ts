import { AsyncResource } from 'node:async_hooks'

const root = new AsyncResource('typeorm-named-lock')

/**
 * Calls `fn` outside the caller's async context. Sessions, timers and listeners outlive the call that creates them, and
 * must neither keep its context alive nor pass it on.
 */
export function outside<T>(fn: () => T): T {
  return root.runInAsyncScope(fn)
}
