'use strict'
const { mock, test } = require('node:test')
const scenarios = require('./scenarios.cjs')

const how = JSON.parse(process.env.FAKE_TIMERS ?? '{}')

scenarios({
  test,
  load: () => ({ main: require('typeorm-named-lock'), testing: require('typeorm-named-lock/testing') }),
  clock: {
    fake: () => mock.timers.enable(how),
    restore: () => mock.timers.reset(),
    advance: async (ms) => mock.timers.tick(ms),
    advanceNow: (ms) => mock.timers.tick(ms),
    canBeReplaced: false,
    setDate: (date) => mock.timers.setTime(date.getTime()),
  },
})
