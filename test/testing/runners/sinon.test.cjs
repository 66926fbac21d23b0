'use strict'
const sinon = require('sinon')
const scenarios = require('./scenarios.cjs')

const how = JSON.parse(process.env.FAKE_TIMERS ?? '{}')
let clock
const tests = []

scenarios({
  test: (title, body) => tests.push([title, body]),
  load: () => ({ main: require('typeorm-named-lock'), testing: require('typeorm-named-lock/testing') }),
  clock: {
    fake: () => (clock = sinon.useFakeTimers(how)),
    restore: () => clock.restore(),
    advance: (ms) => clock.tickAsync(ms),
    advanceNow: (ms) => clock.tick(ms),
    setDate: (date) => clock.setSystemTime(date),
    count: () => clock.countTimers(),
  },
})

// A runner of its own: those that there are need process.nextTick themselves.
async function run() {
  let failed = 0
  for (const [title, body] of tests) {
    await body().then(
      () => console.log(`ok ${title}`),
      (error) => console.log(`not ok ${title}`, ++failed && error),
    )
  }
  console.log(`# pass ${tests.length - failed}\n# fail ${failed}`)
}
void run()
