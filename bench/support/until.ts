import { setTimeout as sleep } from 'node:timers/promises'

/** Resolves when the condition holds; rejects after `limit` milliseconds. */
export async function until(what: string, condition: () => Promise<boolean> | boolean, limit = 30_000): Promise<void> {
  const end = performance.now() + limit
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`Not within ${limit} ms: ${what}`)
    await sleep(1)
  }
}
