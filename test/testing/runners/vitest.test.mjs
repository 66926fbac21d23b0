import { createRequire } from 'node:module'
import { test, vi } from 'vitest'
import * as main from 'typeorm-named-lock'
import * as testing from 'typeorm-named-lock/testing'

const scenarios = createRequire(import.meta.url)('./scenarios.cjs')
const how = JSON.parse(process.env.FAKE_TIMERS ?? '{}')

scenarios({
  test,
  load: () => ({ main, testing }),
  clock: {
    fake: () => vi.useFakeTimers(how),
    restore: () => vi.useRealTimers(),
    advance: (ms) => vi.advanceTimersByTimeAsync(ms),
    advanceNow: (ms) => vi.advanceTimersByTime(ms),
    setDate: (date) => vi.setSystemTime(date),
    count: () => vi.getTimerCount(),
  },
})
