import { openLibrary } from '../subjects/library.js'
import { openNaive } from '../subjects/naive.js'
import { openRaw } from '../subjects/raw.js'
import { openRedlock } from '../subjects/redlock.js'
import type { Subject } from '../subjects/subject.js'
import type { BenchCase } from '../support/bench-case.js'
import { inSequence } from '../support/load.js'
import { paired } from '../support/paired.js'

const nothing = () => undefined

/** A thousand names in turn, as in an application. */
export function pairs(subject: Subject) {
  return (ms: number) => inSequence(ms, (count) => subject.withLock(`order:${count % 1000}`, nothing))
}

export const oneCaller: BenchCase = {
  name: 'one-caller',
  title: 'One caller, withLock in sequence, uncontended',
  async run(bench, findings) {
    const { address } = bench
    await using raw = await openRaw(address)
    await using prepared = await openRaw(address, true)
    await using library = await openLibrary(address)
    await using naive = await openNaive(address)
    await using redlock = bench.redisPort === undefined ? undefined : await openRedlock(bench.redisPort)
    const rates = await paired(
      {
        raw: pairs(raw),
        'raw, prepared': pairs(prepared),
        library: pairs(library),
        naive: pairs(naive),
        redlock: redlock && pairs(redlock),
      },
      bench,
    )
    for (const [subject, samples] of Object.entries(rates))
      if (samples.length > 0) findings.rate(subject, 'locks/s', samples)
    findings.rateRatio('library / raw', rates.library, rates.raw, { atLeast: 0.9 })
    findings.rateRatio('library / raw, prepared', rates.library, rates['raw, prepared'])
    if (redlock) findings.rateRatio('library / redlock', rates.library, rates.redlock, { atLeast: 1 })
    if (redlock) findings.rateRatio('raw, prepared / redlock', rates['raw, prepared'], rates.redlock)
    findings.rateRatio('library / naive', rates.library, rates.naive)
  },
}
