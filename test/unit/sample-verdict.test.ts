import { expect } from 'chai'
import { describe, it } from 'mocha'
import { noSale, type SaleState } from '../../sample-app/live/shop-state.js'
import { verdictOf } from '../../sample-app/live/verdict.js'
import type { Activity } from '../../sample-app/shop/activity.js'
import { overlapsIn, Sections } from '../../sample-app/supervisor/sections.js'

/** A run of the code under a lock, as its replica reports it at its end. */
function stay(from: number, to: number, lock = 'event:1', kind: 'left' | 'worked' = 'left'): Activity {
  return [to, kind, lock, to - from]
}

function overlaps(replicas: number, ...stays: [replica: number, activity: Activity][]): number {
  const sections = new Sections(replicas)
  for (const [replica, activity] of stays) sections.add(replica, [activity])
  return overlapsIn(sections.count())
}

describe('the overlaps of the sample', () => {
  it('are entries while another replica is inside, with locks and without', () => {
    expect(overlaps(2, [1, stay(0, 10)], [2, stay(10, 20)])).to.equal(0)
    expect(overlaps(2, [1, stay(0, 10)], [2, stay(9, 20)])).to.equal(1)
    expect(overlaps(2, [2, stay(9, 20, 'event:1', 'worked')], [1, stay(0, 10, 'event:1', 'worked')])).to.equal(1)
    expect(overlaps(2, [1, stay(0, 10)], [2, stay(5, 20, 'event:2')])).to.equal(0)
    expect(overlaps(3, [1, stay(0, 30)], [2, stay(1, 2)], [3, stay(3, 4)], [1, stay(40, 41)])).to.equal(2)
  })

  it('are those of other replicas; with a single replica, those of other calls', () => {
    const twice = [
      [1, stay(0, 10)],
      [1, stay(5, 15)],
    ] as [number, Activity][]
    expect(overlaps(2, ...twice)).to.equal(0)
    expect(overlaps(1, ...twice)).to.equal(1)
  })

  it('need more than three at the terminals, which have three permits', () => {
    const payments = [0, 1, 2, 3].map((start): [number, Activity] => [1, stay(start, 10, 'terminal')])
    expect(overlaps(2, ...payments.slice(0, 3))).to.equal(0)
    expect(overlaps(2, ...payments)).to.equal(1)
  })

  it('count ended stays only, because a replica that has left may not have reported it yet', () => {
    expect(overlaps(2, [1, [1.5, 'entered', 'event:1', 0]], [2, stay(1, 2)])).to.equal(0)
  })

  it('are those of the current sale', () => {
    const sections = new Sections(2)
    sections.add(1, [stay(0, 10)])
    sections.begin(5)
    sections.add(2, [stay(4, 12), stay(6, 8, 'event:2')])
    expect(sections.count()).to.deep.equal([{ lock: 'event:2', limit: 1, entries: 1, overlaps: 0 }])
  })
})

describe('the verdict of the sample', () => {
  const used = (overlaps: number) => [
    { lock: 'event:1', limit: 1, entries: 60, overlaps },
    { lock: 'settlement', limit: 1, entries: 9, overlaps: overlaps && 1 },
    { lock: 'terminal', limit: 3, entries: 60, overlaps: overlaps && 2 },
    { lock: 'till:1', limit: 1, entries: 60, overlaps },
  ]
  const seats = (...numbers: number[]) => [
    { id: 1, title: '', capacity: 60, available: 0, seats: numbers.map((seat) => [seat, 1] as const) },
  ]
  const sale = (more: Partial<SaleState>): SaleState => ({ ...noSale, number: 1, phase: 'over', ...more })

  it('says what held with locks', () => {
    const exact = sale({ sold: 60, paid: 1500, locksUsed: used(0) })
    expect(verdictOf(exact, 3)).to.deep.equal({
      tone: 'good',
      conclusion: '60 seats sold once each, €1,500 of €1,500 in the tills.',
      reasons: [
        'No two replicas were inside event:1, settlement or till:1 at once, in 129 entries.',
        'Never more than 3 were inside terminal, in 60 entries.',
      ],
    })
    expect(verdictOf({ ...exact, phase: 'selling' }, 3).conclusion).to.equal('60 seats sold once each.')
    expect(verdictOf({ ...exact, locks: false }, 3).tone).to.equal('open')
  })

  it('says what went wrong without them, and why', () => {
    const wrong = { doubleBooked: 3, missingMoney: 750, paidTwice: 1, oversold: 2, sold: 63 }
    const events = seats(1, 1, 2, 2, 3, 3)
    expect(verdictOf(sale({ locks: false, ...wrong, events, locksUsed: used(14) }), 3)).to.deep.equal({
      tone: 'bad',
      conclusion: '3 seats sold twice, €750 lost, 1 order paid out twice and 2 tickets oversold.',
      reasons: [
        'Two replicas were inside event:1 at once 14 times: 3 seats sold more than once and 2 tickets oversold.',
        'Two replicas were inside till:1 at once 14 times: €750 lost.',
        'Two replicas were inside settlement at once 1 time: 1 order paid out twice.',
        'More than 3 were inside terminal at once 2 times.',
      ],
    })
    const again = sale({ ...wrong, events: seats(1, 1, 1), locksUsed: used(1) })
    expect(verdictOf(again, 1).conclusion).to.match(/^3 seats sold up to 3 times, /)
    expect(verdictOf(again, 1).reasons[0]).to.match(/^Two calls were inside event:1 at once 1 time: /)
  })

  it('never calls an overlap good with locks', () => {
    const { tone, reasons } = verdictOf(sale({ sold: 60, locksUsed: used(1) }), 3)
    expect(tone).to.equal('bad')
    expect(reasons[0]).to.equal('Two replicas were inside event:1 at once 1 time.')
  })

  it('concludes nothing before the first ticket', () => {
    expect(verdictOf(noSale, 3)).to.deep.equal({ tone: 'open', conclusion: '', reasons: [] })
    expect(verdictOf({ ...noSale, phase: 'selling' }, 3).conclusion).to.equal('')
  })

  it('concludes a sale that was switched over before its first ticket', () => {
    expect(verdictOf(sale({}), 3)).to.deep.equal({ tone: 'open', conclusion: 'No ticket sold.', reasons: [] })
  })
})
