'use strict'
const assert = require('node:assert')
// Real ones, whatever is faked when this file is loaded: the modules of Node.js are read by reference here.
const { setTimeout: realTimeout, clearTimeout: realClear } = require('node:timers')

const DAY = 24 * 3_600_000

/**
 * What a test with fake timers may expect of the service in memory, the same with every runner.
 *
 * `clock` is the runner's: fake(), restore(), advance(ms) and, where the runner has them, advanceNow(ms) (without awaiting), setDate(date)
 * and count() (timers that have not fired).
 */
module.exports = function scenarios({ test, clock, load }) {
  const scenario = (title, body) =>
    test(title, async () => {
      const { InMemoryNamedLockService } = load().testing
      clock.fake()
      const locks = new InMemoryNamedLockService()
      const told = []
      for (const event of ['lost', 'timedOut', 'releaseFailed']) locks.on(event, () => told.push(event))
      try {
        await body(locks, told)
        await settles('close()', locks.close())
        if (clock.count) assert.strictEqual(clock.count(), 0, 'timers of the service are left in the test')
      } finally {
        clock.restore()
      }
    })

  scenario('a free lock comes while the clock stands still', async (locks) => {
    const calls = {
      withLock: () => locks.withLock('a', async (lock) => lock.isHeld),
      tryWithLock: async () => (await locks.tryWithLock('a', async (lock) => lock.isHeld)).value,
      several: () => locks.withLock(['a', 'b'], async (lock) => lock.isHeld),
      dedicated: () => locks.withLock('a', { session: 'dedicated' }, async (lock) => lock.isHeld),
      transaction: () => locks.transaction('a', async (_manager, lock) => lock.isHeld),
      read: () => locks.withLock('a', { mode: 'read' }, async (lock) => lock.isHeld),
      acquire: async () => {
        const lock = await locks.acquire('a')
        const isHeld = await lock.verify()
        await lock.release()
        return isHeld
      },
    }
    for (const [name, call] of Object.entries(calls)) assert.strictEqual(await settles(name, call()), true, name)
    assert.strictEqual(await settles('isLocked', locks.isLocked('a')), false)
    assert.deepStrictEqual([...(await settles('list', locks.list()))], [])
  })

  scenario('work of an hour keeps its lock, and one after the other gets it', async (locks, told) => {
    const order = []
    const work = (who) => async (lock) => {
      order.push(who)
      await new Promise((resolve) => setTimeout(resolve, 3_600_000))
      assert.strictEqual(lock.isHeld, true)
      assert.strictEqual(lock.signal.aborted, false)
    }
    const calls = ['one', 'two'].map((who) => locks.withLock('report', { timeout: Infinity }, work(who)))
    for (const count of [1, 2]) {
      await until(() => order.length === count)
      await clock.advance(3_600_000)
    }
    await settles('the work', Promise.all(calls))
    assert.deepStrictEqual([order, told], [['one', 'two'], []])
  })

  if (clock.setDate) {
    scenario('a date that is set forward or back loses no lock', async (locks, told) => {
      const work = (manager, lock = manager) => {
        for (const time of [30 * DAY, -DAY, 0]) {
          clock.setDate(new Date(Date.now() + time))
          assert.strictEqual(lock.isHeld, true)
        }
        return 'done'
      }
      assert.strictEqual(
        await settles(
          'withLock',
          locks.withLock('a', async (lock) => work(lock)),
        ),
        'done',
      )
      assert.strictEqual(
        await settles(
          'transaction',
          locks.transaction('a', async (m, lock) => work(m, lock)),
        ),
        'done',
      )
      assert.deepStrictEqual(told, [])
    })
  }

  scenario(
    'a waiting caller times out when the clock has gone on by its timeout, and not before',
    async (locks, told) => {
      const { NamedLockTimeoutError } = load().main
      const elsewhere = locks.holdElsewhere('a')
      const calls = {
        withLock: () => locks.withLock('a', { timeout: '20s' }, () => assert.fail('the work ran')),
        acquire: () => locks.acquire('a', { timeout: '20s' }),
        several: () => locks.acquire(['a', 'b'], { timeout: '20s' }),
        dedicated: () => locks.acquire('a', { timeout: '20s', session: 'dedicated' }),
        transaction: () => locks.transaction('a', { timeout: '20s' }, () => assert.fail('the work ran')),
        tryWithLock: () => locks.tryWithLock('a', { timeout: '20s' }, () => assert.fail('the work ran')),
      }
      for (const [name, call] of Object.entries(calls)) {
        const caller = watched(call())
        await turns()
        await clock.advance(19_999)
        await turns()
        assert.strictEqual(caller.state, 'pending', `${name}: a millisecond before its time`)
        await clock.advance(1)
        await until(() => caller.state !== 'pending')
        if (name === 'tryWithLock') assert.deepStrictEqual(caller.value, { acquired: false })
        else assert.ok(caller.value instanceof NamedLockTimeoutError, `${name}: ${caller.value}`)
      }
      assert.deepStrictEqual(
        told,
        Object.keys(calls).map(() => 'timedOut'),
      )
      elsewhere.release()
      assert.strictEqual(
        await settles(
          'the lock afterwards',
          locks.withLock('a', async () => 'free'),
        ),
        'free',
      )
    },
  )

  scenario('a timeout of the service is counted in the same way', async () => {
    const { InMemoryNamedLockService } = load().testing
    const locks = new InMemoryNamedLockService({ timeout: '2s' })
    locks.holdElsewhere('a')
    const caller = watched(locks.acquire('a'))
    await turns()
    await clock.advance(2_000)
    await until(() => caller.state === 'rejected')
    assert.match(caller.value.message, /2000 ms/)
    await settles('close()', locks.close())
  })

  if (clock.advanceNow) {
    scenario('the clock can go on right after the call, before anything is awaited', async (locks) => {
      locks.holdElsewhere('a')
      const caller = watched(locks.acquire('a', { timeout: '10s' }))
      clock.advanceNow(10_000)
      await until(() => caller.state === 'rejected')
      assert.strictEqual(caller.value.code, 'TIMEOUT')
    })
  }

  scenario('a waiting caller gets the lock when it comes free, while the clock stands still', async (locks) => {
    const elsewhere = locks.holdElsewhere('a')
    const first = locks.acquire('a', { timeout: '1s' })
    const second = locks.acquire('a', { timeout: '1s' })
    await turns()
    elsewhere.release()
    await (await settles('the first', first)).release()
    await (await settles('the second', second)).release()
  })

  // Those of node:test get into disorder when they are removed before all of them have fired.
  if (clock.canBeReplaced !== false) {
    scenario('a wait outlives the fake timers, and those that are installed while it lasts', async (locks) => {
      const elsewhere = locks.holdElsewhere('a')
      const during = locks.acquire('a', { timeout: '60s' })
      await turns()
      clock.restore()
      const afterwards = locks.acquire('a', { timeout: '60s' })
      await turns()
      clock.fake()
      await clock.advance(1_000)
      elsewhere.release()
      await (await settles('the one of the fake clock', during)).release()
      await (await settles('the one of the real clock', afterwards)).release()
    })
  }

  scenario('a lock can be lost on purpose', async (locks, told) => {
    const { NamedLockLostError } = load().main
    const caller = watched(
      locks.withLock('a', async (lock) => {
        locks.simulateLoss('a')
        assert.strictEqual(lock.signal.aborted, true)
      }),
    )
    await until(() => caller.state === 'rejected')
    assert.ok(caller.value instanceof NamedLockLostError)
    assert.deepStrictEqual(told, ['lost'])
  })

  scenario('holdAtLeast goes by the clock of the test', async (locks) => {
    const { WithNamedLock } = load().main
    class Jobs {
      locks = locks
    }
    const nightly = { value: async () => 'done', writable: true, configurable: true }
    Jobs.prototype.nightly = nightly.value
    Object.defineProperty(
      Jobs.prototype,
      'nightly',
      WithNamedLock('nightly', '10s', { holdAtLeast: '30s' })(Jobs.prototype, 'nightly', nightly) ?? nightly,
    )
    const job = watched(new Jobs().nightly())
    await turns()
    await clock.advance(29_999)
    await turns()
    assert.deepStrictEqual([job.state, await locks.isLocked('nightly')], ['pending', true])
    await clock.advance(1)
    await until(() => job.state === 'fulfilled')
  })
}

/** The outcome of a promise, to be looked at. */
function watched(promise) {
  const seen = { state: 'pending', value: undefined }
  promise.then(
    (value) => Object.assign(seen, { state: 'fulfilled', value }),
    (value) => Object.assign(seen, { state: 'rejected', value }),
  )
  return seen
}

/** Long enough in real time for whatever would happen at once. */
function turns() {
  return new Promise((resolve) => realTimeout(resolve, 40))
}

async function until(condition) {
  for (let i = 0; !condition(); i++) {
    if (i > 5_000) throw new Error(`Waited in vain for ${condition}`)
    await new Promise((resolve) => realTimeout(resolve, 1))
  }
}

/** In real time: what hangs becomes a failure that says what hung. */
function settles(what, promise) {
  return new Promise((resolve, reject) => {
    const late = realTimeout(() => reject(new Error(`Not settled after 5 s: ${what}`)), 5_000)
    promise.then(resolve, reject).finally(() => realClear(late))
  })
}
