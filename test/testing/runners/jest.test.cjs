'use strict'
/* global jest, test */
const scenarios = require('./scenarios.cjs')

const how = JSON.parse(process.env.FAKE_TIMERS ?? '{}')

scenarios({
  test,
  load: () => ({ main: require('typeorm-named-lock'), testing: require('typeorm-named-lock/testing') }),
  clock: {
    fake: () => jest.useFakeTimers(how),
    restore: () => jest.useRealTimers(),
    advance: async (ms) => (how.legacyFakeTimers ? jest.advanceTimersByTime(ms) : jest.advanceTimersByTimeAsync(ms)),
    advanceNow: (ms) => jest.advanceTimersByTime(ms),
    ...(how.legacyFakeTimers ? {} : { setDate: (date) => jest.setSystemTime(date), count: () => jest.getTimerCount() }),
  },
})
