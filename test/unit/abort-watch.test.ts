import { expect } from 'chai'
import { getEventListeners } from 'node:events'
import { AbortWatch } from '../../src/queue/abort-watch.js'
import type { Claim } from '../../src/queue/claim.js'

describe('the watch over signals', () => {
  function waiting(signal: AbortSignal, left: Claim[]): Claim {
    const claim = { signal, slot: { leave: () => left.push(claim) } } as unknown as Claim
    return claim
  }

  it('has one listener for a signal, however many claims it has, and none after the last claim', () => {
    const watch = new AbortWatch()
    const { signal } = new AbortController()
    const claims = Array.from({ length: 50 }, () => waiting(signal, []))
    for (const claim of claims) watch.watch(claim)
    expect(getEventListeners(signal, 'abort')).to.have.length(1)
    for (const claim of claims) {
      expect(getEventListeners(signal, 'abort')).to.have.length(1)
      watch.unwatch(claim)
    }
    expect(getEventListeners(signal, 'abort')).to.have.length(0)
    watch.unwatch(claims[0]!)
    watch.watch(claims[0]!)
    expect(getEventListeners(signal, 'abort'), 'again').to.have.length(1)
  })

  it('aborts the claims of that signal and no others, also when they unwatch themselves meanwhile', () => {
    const watch = new AbortWatch()
    const [one, other] = [new AbortController(), new AbortController()]
    const left: Claim[] = []
    const claims = [one, one, other, one].map(({ signal }) => waiting(signal, left))
    for (const claim of claims) {
      const { leave } = claim.slot
      claim.slot.leave = (...args) => {
        watch.unwatch(claim)
        leave.apply(claim.slot, args)
      }
      watch.watch(claim)
    }
    one.abort()
    expect(left).to.have.members([claims[0], claims[1], claims[3]])
    expect(getEventListeners(one.signal, 'abort')).to.have.length(0)
    expect(getEventListeners(other.signal, 'abort')).to.have.length(1)
  })
})
