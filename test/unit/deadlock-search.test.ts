import { expect } from 'chai'
import fc from 'fast-check'
import { LockScope } from '../../src/scope/lock-scope.js'
import { startWaiting, stopWaiting } from '../../src/queue/deadlock.js'
import type { Claim } from '../../src/queue/claim.js'

/** A scope that holds the locks of these names. */
function scope(parent?: LockScope): LockScope {
  const made = new LockScope(parent, {}, [])
  made.begin({ names: [], isHeld: true })
  return made
}

/** A caller inside `waitsIn` waits for a lock that `holder` has. */
function waitFor(
  holder: LockScope | undefined,
  waitsIn: LockScope | undefined,
  name = 'x',
  signal?: AbortSignal,
): Claim {
  const target = { isShared: false }
  const holdersInProcess = holder ? [{ scope: holder, target }] : []
  return { waitsIn, signal, name, target, slot: { holdersInProcess } } as unknown as Claim
}

describe('deadlocks of scopes', () => {
  it('are cycles of any length, reported by their names', () => {
    for (const length of [2, 3, 10]) {
      const scopes = Array.from({ length }, () => scope())
      const claims = scopes.map((one, i) => waitFor(scopes[(i + 1) % length], one, `n${i}`))
      const last = claims.pop()!
      for (const claim of claims) expect(startWaiting(claim)).to.equal(undefined)
      const cycle = startWaiting(last)
      expect(cycle).to.have.members([...claims, last].map(({ name }) => name))
    }
  })

  it('are detected from the enclosing scopes', () => {
    const [one, other] = [scope(), scope()]
    expect(startWaiting(waitFor(other, scope(scope(one))))).to.equal(undefined)
    expect(startWaiting(waitFor(one, scope(other)))).to.have.length(2)
  })

  it('do not include handles, signals, finished waits, and waits outside of all scopes', () => {
    const [one, other] = [scope(), scope()]
    const edges = [
      waitFor(undefined, one),
      waitFor(other, one, 'x', new AbortController().signal),
      waitFor(other, undefined),
    ]
    for (const edge of edges) {
      expect(startWaiting(edge)).to.equal(undefined)
      const back = waitFor(one, other)
      expect(startWaiting(back)).to.equal(undefined)
      stopWaiting(back)
    }
    const over = waitFor(other, one)
    expect(startWaiting(over)).to.equal(undefined)
    stopWaiting(over)
    expect(startWaiting(waitFor(one, other))).to.equal(undefined)
  })

  it('are exactly those that a search of all paths finds', () => {
    const edges = fc.array(fc.tuple(fc.nat(7), fc.nat(7)), { maxLength: 25 })
    const parents = fc.array(fc.option(fc.nat(7), { nil: undefined }), { minLength: 8, maxLength: 8 })
    fc.assert(
      fc.property(edges, parents, (waits, parentOf) => {
        const scopes: LockScope[] = []
        // Only earlier scopes can enclose later ones.
        for (const [i, parent] of parentOf.entries())
          scopes.push(scope(parent === undefined ? undefined : scopes[parent % i]))
        const waiting: [from: LockScope, to: LockScope][] = []
        for (const [from, to] of waits) {
          const [inner, holder] = [scopes[from]!, scopes[to]!]
          if (isAround(holder, inner)) continue // reentrancy, which is checked earlier
          const claim = waitFor(holder, inner)
          const expected = reaches(holder, inner, waiting)
          expect(startWaiting(claim) !== undefined).to.equal(expected)
          // A scope that would wait forever leaves.
          if (expected) stopWaiting(claim)
          else waiting.push([inner, holder])
        }
      }),
      { numRuns: 500 },
    )
  })
})

function isAround(outer: LockScope, inner: LockScope): boolean {
  for (let one: LockScope | undefined = inner; one; one = one.parent) if (one === outer) return true
  return false
}

/**
 * Whether `holder` cannot end before a wait inside of it, directly or through other holders, for a scope around
 * `origin`.
 */
function reaches(holder: LockScope, origin: LockScope, waiting: readonly [LockScope, LockScope][]): boolean {
  const seen = new Set<LockScope>()
  const todo = [holder]
  for (let one = todo.pop(); one; one = todo.pop()) {
    if (isAround(one, origin)) return true
    if (seen.has(one)) continue
    seen.add(one)
    for (const [from, to] of waiting) if (isAround(one, from)) todo.push(to)
  }
  return false
}
