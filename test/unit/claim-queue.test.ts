import { expect } from 'chai'
import fc from 'fast-check'
import { ClaimQueue } from '../../src/queue/claim-queue.js'
import type { Claim } from '../../src/queue/claim.js'

function claim(id: number): Claim & { id: number } {
  return { id, next: undefined, previous: undefined } as Claim & { id: number }
}

describe('a queue of claims', () => {
  const steps = fc.array(fc.oneof(fc.constant('push' as const), fc.nat(20)), { maxLength: 60 })

  it('is first in, first out, wherever claims leave', () => {
    fc.assert(
      fc.property(steps, (all) => {
        const queue = new ClaimQueue()
        const model: (Claim & { id: number })[] = []
        for (const [id, step] of all.entries()) {
          if (step === 'push') {
            const one = claim(id)
            queue.push(one)
            model.push(one)
          } else if (model.length > 0) {
            queue.remove(model.splice(step % model.length, 1)[0]!)
          }
          expect([...queue]).to.deep.equal(model)
          expect(queue.head).to.equal(model[0])
        }
      }),
    )
  })

  it('can be walked while claims leave it', () => {
    const queue = new ClaimQueue()
    const claims = [0, 1, 2, 3].map(claim)
    claims.forEach((one) => queue.push(one))
    const seen: number[] = []
    for (const one of queue as Iterable<Claim & { id: number }>) {
      seen.push(one.id)
      queue.remove(one)
    }
    expect(seen).to.deep.equal([0, 1, 2, 3])
    expect(queue.head).to.equal(undefined)
  })

  it('keeps nothing of a claim that has left', () => {
    const queue = new ClaimQueue()
    const [first, second] = [claim(1), claim(2)]
    queue.push(first)
    queue.push(second)
    queue.remove(first)
    expect(first).to.include({ next: undefined, previous: undefined })
    expect(second).to.include({ next: undefined, previous: undefined })
  })
})
