import { AsyncLocalStorage } from 'node:async_hooks'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import {
  NamedLock,
  NamedLockClosedError,
  NamedLockConfigurationError,
  NamedLockLostError,
  NamedLockReentrancyError,
  type LeaderTerm,
  type Leadership,
  type NamedLockService,
} from '../../src/index.js'
import { forEachDialectAndTypeorm } from '../support/conformance.js'
import { reasonOf } from '../support/rejection.js'
import { settlesWithin, until } from '../support/until.js'

const untilTheEnd = async (term: LeaderTerm): Promise<void> => {
  if (!term.signal.aborted) await once(term.signal, 'abort')
}

describe('lead', () => {
  forEachDialectAndTypeorm((ctx) => {
    it('makes one process at a time leader, until it resigns', async () => {
      const [first, second] = [await ctx.service(), await ctx.service()]
      const terms = new Terms()
      const one = first.lead('job', terms.of('one'))
      expect(one.isLeader, 'lead returns at once').to.equal(false)
      await until('the first leader', () => one.isLeader)
      const other = second.lead('job', terms.of('other'))
      expect(await second.isLocked('job')).to.equal(true)
      expect(await ctx.outsider.holderOf(ctx.keyOf('job'))).to.be.a('string')
      expect(await first.tryAcquire('job')).to.equal(null)
      const [term] = terms.all as [LeaderTerm]
      expect(term.name).to.equal('job')
      expect(term.lock).to.be.instanceOf(NamedLock)
      expect([term.isLeader, other.isLeader]).to.deep.equal([true, false])
      const token = await term.fencingToken()

      await settlesWithin(5_000, 'resign()', one.resign())
      expect([one.isLeader, term.isLeader]).to.deep.equal([false, false])
      expect(term.signal.reason).to.be.instanceOf(Error).and.have.property('code', 'RESIGNED')
      expect(terms.running).to.not.include('one')
      await until('the next leader', () => other.isLeader, { within: 5_000 })
      const next = await (terms.all[1] as LeaderTerm).fencingToken()
      expect(next > token, `${next} after ${token}`).to.equal(true)
      await Promise.all([one.ended, one.resign(), other[Symbol.asyncDispose]()])
      expect(await first.isLocked('job')).to.equal(false)
      expect(terms.most).to.equal(1)
    })

    it('waits in turn for a second leadership of the name in one process, and for other callers', async () => {
      const locks = await ctx.service()
      const terms = new Terms()
      const held = await locks.acquire('job')
      const one = locks.lead('job', terms.of('one'))
      const other = locks.lead('job', terms.of('other'))
      await sleep(50)
      expect(terms.all).to.deep.equal([])
      await held.release()
      await until('a leader', () => one.isLeader || other.isLeader)
      const waiting = locks.withLock('job', { timeout: '20s' }, () => terms.running.slice())
      const [leader, follower] = one.isLeader ? [one, other] : [other, one]
      await leader.resign()
      await until('the other', () => follower.isLeader)
      await follower.resign()
      expect(await waiting).to.deep.equal([])
      expect(terms.most).to.equal(1)
    })

    it('starts the work in an async context of its own, where the lock is held', async () => {
      const locks = await ctx.service()
      const storage = new AsyncLocalStorage<string>()
      const seen: unknown[] = []
      const look = async (term: LeaderTerm): Promise<void> => {
        seen.push(storage.getStore(), NamedLock.current('job') === term.lock, NamedLock.current('around'))
        seen.push(await reasonOf(locks.withLock('job', () => undefined)))
        seen.push(await locks.withLock('job', { reentrant: true }, (lock) => lock.isHeld))
        seen.push(await reasonOf(term.lock.release()), term.isLeader)
      }
      let leadership: Leadership | undefined
      const lead = (): Leadership => locks.lead('job', { restart: false }, look)
      await locks.withLock('around', () => storage.run('request', async () => (leadership = lead())))
      await leadership?.ended
      expect(seen.slice(0, 3)).to.deep.equal([undefined, true, undefined])
      expect(seen[3]).to.be.instanceOf(NamedLockReentrancyError)
      expect(seen[4]).to.equal(true)
      expect(seen[5], 'the lock ends with the term').to.be.instanceOf(NamedLockConfigurationError)
      expect(seen[6]).to.equal(true)
    })

    it('called in a scope that holds the name, it waits for its end', async () => {
      const locks = await ctx.service()
      let leadership: Leadership | undefined
      await locks.withLock('job', async () => {
        leadership = locks.lead('job', untilTheEnd)
        await sleep(50)
        expect(leadership.isLeader).to.equal(false)
      })
      await until('the leader', () => leadership?.isLeader)
      await leadership?.resign()
    })

    it('called in a transaction, the work runs outside of it', async () => {
      const locks = await ctx.service()
      const started = await locks.dataSource.transaction(async () => {
        const terms = new Terms()
        const leadership = locks.lead('job', terms.of('inside'))
        await until('the leader', () => leadership.isLeader)
        await leadership.resign()
        return terms.all.length
      })
      expect(started).to.equal(1)
    })

    it('ends the term when the lock is lost, and campaigns again only once the work has ended', async () => {
      const locks = await ctx.service()
      const events = watch(locks)
      const terms = new Terms()
      let finish = (): void => {}
      const slowEnd = new Promise<void>((resolve) => (finish = resolve))
      const leadership = locks.lead('job', async (term) => {
        await terms.of('one')(term)
        if (terms.all.length === 1) await slowEnd
      })
      await until('the leader', () => leadership.isLeader)
      await ctx.outsider.kill((await ctx.outsider.holderOf(ctx.keyOf('job')))!)
      const [term] = terms.all as [LeaderTerm]
      await until('the loss', () => term.signal.aborted)
      expect(term.signal.reason).to.be.instanceOf(NamedLockLostError)
      expect(leadership.isLeader).to.equal(false)
      await sleep(100)
      expect(terms.all, 'the work still runs').to.have.length(1)
      finish()
      await until('the next term', () => leadership.isLeader)
      await leadership.resign()
      expect(events).to.deep.equal(['elected', 'revoked LOST', 'elected', 'revoked RESIGNED'])
    })

    it('campaigns again when the work has returned, and after growing pauses when it fails', async () => {
      const locks = await ctx.service({ closeTimeout: 100 })
      const warnings = watchWarnings()
      const starts: number[] = []
      const leadership = locks.lead('job', { restart: 40 }, async () => {
        starts.push(performance.now())
        if (starts.length <= 3) throw new Error(`failure ${starts.length}`)
        if (starts.length > 4) await new Promise(() => {})
      })
      await until('five terms', () => starts.length === 5)
      const pauses = starts.slice(1).map((time, i) => time - starts[i]!)
      // Timers may be a millisecond early.
      for (const [i, least] of [40, 80, 160, 40].entries())
        expect(pauses[i], `pause ${i + 1}`).to.be.at.least(least - 2)
      const closing = locks.close()
      expect(leadership.isLeader).to.equal(true)
      await settlesWithin(9_000, 'close()', closing)
      expect(leadership.isLeader).to.equal(false)
      const failures = (await warnings()).filter((warning) => warning.includes('failed'))
      expect(failures).to.have.length(3)
      expect(failures[1]).to.match(/'job' failed.*again in 80 ms.*failure 2/s)
    })

    it('with restart: false ends with the first term, and with the error of its work', async () => {
      const locks = await ctx.service()
      const once = locks.lead('job', { restart: false }, () => 'a value is of no use')
      await settlesWithin(5_000, 'the end', once.ended)
      const failure = new Error('the work failed')
      const warnings = watchWarnings()
      const failing = locks.lead('job', { restart: false }, () => Promise.reject(failure))
      expect(await reasonOf(failing.ended)).to.equal(failure)
      const strange = locks.lead('job', { restart: false }, () => {
        throw 'no error'
      })
      expect(await reasonOf(strange.ended)).to.equal('no error')
      const unprintable = Object.create(null) as object
      const bare = locks.lead('job', { restart: false }, () => Promise.reject(unprintable))
      expect(await reasonOf(bare.ended)).to.equal(unprintable)
      await failing.resign()
      expect(await warnings()).to.deep.equal([])
      const ignored = locks.lead('job', { restart: false }, () => Promise.reject(unprintable))
      await until('its end', async () => (await warnings()).length > 0)
      expect((await warnings()).join()).to.match(/'job' failed\. an object \(no prototype\)$/)
      await ignored.resign()
      await once.resign()
      expect(await locks.isLocked('job')).to.equal(false)
    })

    it('ends with the signal of its options, in every state', async () => {
      const locks = await ctx.service()
      const other = await locks.acquire('taken')
      const controller = ctx.abortController()
      const { signal } = controller
      const terms = new Terms()
      const all = {
        leading: locks.lead('free', { signal }, terms.of('leading')),
        campaigning: locks.lead('taken', { signal }, terms.of('campaigning')),
        pausing: locks.lead('pause', { signal, restart: '1h' }, () => undefined),
      }
      await until('the leader', () => all.leading.isLeader)
      const reason = new Error('enough')
      controller.abort(reason)
      for (const [state, leadership] of Object.entries(all)) await settlesWithin(5_000, state, leadership.ended)
      expect(terms.all.map((term) => term.signal.reason)).to.deep.equal([reason])
      const late = locks.lead('free', { signal }, terms.of('late'))
      await late.ended
      await late.resign()
      expect(terms.all).to.have.length(1)
      const odd = new AbortController()
      const leadership = locks.lead('free', { signal: odd.signal }, terms.of('odd'))
      await until('the leader', () => leadership.isLeader)
      odd.abort('no error')
      await leadership.ended
      expect(terms.all[1]?.signal.reason).to.be.instanceOf(Error)
      expect(await locks.isLocked('free')).to.equal(false)
      await other.release()
    })

    it('resigns without waiting for itself in its own work', async () => {
      const locks = await ctx.service()
      const leadership: Leadership = locks.lead('job', async (term) => {
        await leadership.resign()
        expect(term.signal.aborted).to.equal(true)
      })
      await settlesWithin(4_000, 'the end', leadership.ended)
    })

    it('leaves work that does not end to itself after closeTimeout, and gives the lock back', async () => {
      const locks = await ctx.service({ closeTimeout: 100 })
      const warnings = watchWarnings()
      let fail = (_error: Error): void => {}
      const leadership = locks.lead('job', () => new Promise((_resolve, reject) => (fail = reject)))
      await until('the leader', () => leadership.isLeader)
      await settlesWithin(3_000, 'resign()', leadership.resign())
      expect(await locks.isLocked('job')).to.equal(false)
      fail(new Error('much later'))
      await until('the warning', async () => (await warnings()).some((warning) => warning.includes('much later')))
    })

    it('resigns when its service closes, in every state', async () => {
      const locks = await ctx.service()
      const other = await ctx.service()
      const taken = await other.acquire('taken')
      const terms = new Terms()
      const leading = locks.lead('free', terms.of('leading'))
      const campaigning = locks.lead('taken', terms.of('campaigning'))
      const pausing = locks.lead('pause', { restart: '1h' }, () => undefined)
      await until('the leader', () => leading.isLeader)
      await settlesWithin(5_000, 'close()', locks.close())
      await settlesWithin(5, 'the ends', Promise.all([leading.ended, campaigning.ended, pausing.ended]))
      expect(terms.all.map((term) => term.signal.reason)).to.have.length(1)
      expect(terms.all[0]?.signal.reason).to.be.instanceOf(NamedLockClosedError)
      expect(terms.running).to.deep.equal([])
      expect(() => locks.lead('free', untilTheEnd)).to.throw(NamedLockClosedError)
      await taken.release()
    })

    it('runs no work of a term that a listener has ended, and is not disturbed by listeners that throw', async () => {
      const locks = await ctx.service()
      const warnings = watchWarnings()
      const terms = new Terms()
      const events = watch(locks)
      const leadership: Leadership = locks.lead('job', terms.of('never'))
      locks.on('elected', () => void leadership.resign())
      await settlesWithin(5_000, 'the end', leadership.ended)
      expect(terms.all).to.deep.equal([])
      expect(events).to.deep.equal(['elected', 'revoked RESIGNED'])
      expect(await locks.isLocked('job')).to.equal(false)

      for (const event of ['elected', 'revoked'] as const) {
        locks.on(event, () => {
          throw new Error(`of ${event}`)
        })
      }
      const next = locks.lead('job', { restart: 1 }, () => terms.all.push())
      await until('many terms', async () => events.length >= 6)
      await settlesWithin(5_000, 'resign()', next.resign())
      expect((await warnings()).join())
        .to.match(/of elected/)
        .and.match(/of revoked/)
      // A request for the lock may have been under way.
      await until('a free lock', async () => !(await locks.isLocked('job')))
    })

    it('may do once what is to be done once, lead something else, and close its service, in its work', async () => {
      const locks = await ctx.service({ closeTimeout: 300 })
      const seen: unknown[] = []
      const inner = new Terms()
      let closing: Promise<void> | undefined
      const leadership = locks.lead('outer', async (term) => {
        seen.push((await locks.runOnce('daily', () => 1)).ran, (await locks.runOnce('daily', () => 1)).ran)
        const [other, same] = [locks.lead('inner', inner.of('inner')), locks.lead('outer', inner.of('same'))]
        await until('the inner leader', () => other.isLeader)
        seen.push(same.isLeader, term.isLeader)
        closing = locks.close()
        await settlesWithin(5_000, 'close() in the work', closing)
      })
      await settlesWithin(9_000, 'the end', leadership.ended)
      expect(seen).to.deep.equal([true, false, false, true])
      expect(inner.most).to.equal(1)
      await closing
      expect(inner.running).to.deep.equal([])
    })

    it('is shown by list, holder and events', async () => {
      const locks = await ctx.service()
      const events: Record<string, unknown>[] = []
      locks.on('elected', (event) => events.push({ type: 'elected', ...event }))
      locks.on('revoked', (event) => events.push({ type: 'revoked', ...event }))
      locks.on('acquired', ({ isLeaders }) => events.push({ type: 'acquired', isLeaders }))
      const terms = new Terms()
      const leadership = locks.lead('job', terms.of('one'))
      await until('the leader', () => leadership.isLeader)
      expect((await locks.holder('job'))?.connectionId).to.be.a('string')
      expect((await locks.list()).map(({ name }) => name)).to.include('job')
      await leadership.resign()
      expect(events.map(({ type }) => type)).to.deep.equal(['acquired', 'elected', 'revoked'])
      const [acquired, elected, revoked] = events
      expect(acquired).to.have.property('isLeaders', true)
      for (const event of [elected, revoked]) expect(event).to.include({ name: 'job', term: terms.all[0] })
      expect(revoked?.ledMs).to.be.a('number')
      expect(revoked?.reason).to.equal(terms.all[0]?.signal.reason)
      await locks.withLock('job', () => undefined)
      expect(events[3]).to.have.property('isLeaders', undefined)
    })
  })
})

/** The terms of a test, in their order. */
class Terms {
  readonly all: LeaderTerm[] = []
  /** The names of those that run. */
  readonly running: string[] = []
  /** How many ran at a time. */
  most = 0

  of(name: string): (term: LeaderTerm) => Promise<void> {
    return async (term) => {
      this.all.push(term)
      this.running.push(name)
      this.most = Math.max(this.most, this.running.length)
      await untilTheEnd(term)
      this.running.splice(this.running.indexOf(name), 1)
    }
  }
}

function watch(locks: NamedLockService): string[] {
  const events: string[] = []
  locks.on('elected', () => events.push('elected'))
  locks.on('revoked', ({ reason }) => events.push(`revoked ${(reason as { code?: string }).code}`))
  return events
}

/** The warnings of the library from now on. Asking for them waits for those that are on their way. */
function watchWarnings(): () => Promise<string[]> {
  const texts: string[] = []
  const note = ({ name, message }: Error): void => {
    if (name === 'NamedLockWarning') texts.push(message)
  }
  process.on('warning', note)
  setTimeout(() => process.off('warning', note), 10_000).unref()
  return async () => {
    await new Promise((resolve) => setImmediate(resolve))
    return texts
  }
}
