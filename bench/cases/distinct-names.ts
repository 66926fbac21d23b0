import { openBareBatch } from '../subjects/bare-batch.js'
import { openLibrary } from '../subjects/library.js'
import { openNaive } from '../subjects/naive.js'
import { openRaw } from '../subjects/raw.js'
import { openRedlock } from '../subjects/redlock.js'
import type { Subject } from '../subjects/subject.js'
import type { BenchCase } from '../support/bench-case.js'
import { concurrently, inSequence, type Throughput } from '../support/load.js'
import { paired } from '../support/paired.js'

const callers = 100
const nothing = () => undefined

function together(subject: Subject) {
  const names = Array.from({ length: callers }, (_, caller) => `order:${caller}`)
  return (ms: number): Promise<Throughput> =>
    concurrently(callers, ms, (caller) => subject.withLock(names[caller]!, nothing))
}

export const distinctNames: BenchCase = {
  name: 'distinct-names',
  title: '100 callers, distinct names, empty work',
  async run(bench, findings) {
    await using raw = await openRaw(bench.address)
    await using library = await openLibrary(bench.address)
    await using naive = await openNaive(bench.address)
    await using redlock = bench.redisPort === undefined ? undefined : await openRedlock(bench.redisPort)
    await using bare = bench.address.kind === 'postgres' ? undefined : await openBareBatch(bench.address)
    const oneAtATime = (ms: number) => inSequence(ms, (count) => raw.withLock(`order:${count % callers}`, nothing))
    const rates = await paired(
      {
        raw: oneAtATime,
        library: together(library),
        naive: together(naive),
        redlock: redlock && together(redlock),
        bare: bare && together(bare),
      },
      bench,
    )
    findings.rate('raw, one at a time', 'locks/s', rates.raw)
    findings.rate('library', 'locks/s', rates.library)
    findings.rate('naive', 'locks/s', rates.naive)
    if (redlock) findings.rate('redlock', 'locks/s', rates.redlock)
    if (bare) findings.rate('batches alone, without a queue, timeouts or scopes', 'locks/s', rates.bare)
    findings.rateRatio('library / raw', rates.library, rates.raw, { atLeast: 20 })
    if (redlock) findings.rateRatio('library / redlock', rates.library, rates.redlock, { atLeast: 3 })
    findings.rateRatio('library / naive', rates.library, rates.naive)
  },
}
