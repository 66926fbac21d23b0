import { openLibrary } from '../subjects/library.js'
import { openNaive } from '../subjects/naive.js'
import type { Subject } from '../subjects/subject.js'
import type { BenchCase } from '../support/bench-case.js'
import { Exclusivity } from '../support/exclusivity.js'
import { concurrently } from '../support/load.js'
import { paired } from '../support/paired.js'
import { sum } from '../support/statistics.js'

const callers = 100

/** A sample of speed, followed by a short one with longer work, which would show two holders at once. */
function contend(subject: Subject) {
  const run = (ms: number, exclusivity: Exclusivity, work: 'work' | 'longWork') =>
    concurrently(callers, ms, () => {
      const ticket = exclusivity.ticket()
      return subject.withLock('stock:7', () => exclusivity[work](ticket))
    })
  return async (ms: number) => {
    const fast = new Exclusivity()
    const { perSecond, cpu, served } = await run(ms, fast, 'work')
    const slow = new Exclusivity()
    await run(ms / 5, slow, 'longWork')
    return {
      perSecond,
      cpu,
      unserved: served.filter((count) => count === 0).length,
      overlaps: slow.overlaps,
      outOfOrder: fast.outOfOrder + slow.outOfOrder,
    }
  }
}

export const oneName: BenchCase = {
  name: 'one-name',
  title: '100 callers, one name, one process, empty work',
  async run(bench, findings) {
    await using library = await openLibrary(bench.address)
    await using naive = await openNaive(bench.address)
    const results = await paired({ library: contend(library), naive: contend(naive) }, bench)
    findings.rate('library', 'locks/s', results.library)
    findings.rate('naive', 'locks/s', results.naive)
    findings.rateRatio('library / naive', results.library, results.naive, { atLeast: 50 })

    const total = (what: 'overlaps' | 'outOfOrder' | 'unserved') => sum(results.library.map((result) => result[what]))
    findings.must('one holder at a time', total('overlaps') === 0, `${total('overlaps')} overlaps`)
    findings.must('first in, first out', total('outOfOrder') === 0, `${total('outOfOrder')} out of turn`)
    findings.must('every caller served', total('unserved') === 0, `${total('unserved')} callers without a turn`)
    const naiveOverlaps = sum(results.naive.map((result) => result.overlaps))
    findings.must('naive: one holder at a time', naiveOverlaps === 0, `${naiveOverlaps} overlaps`)
  },
}
