import { openBarePair } from '../subjects/bare-pair.js'
import { openDecorated, openLibrary } from '../subjects/library.js'
import { openRaw } from '../subjects/raw.js'
import { openRedlock } from '../subjects/redlock.js'
import type { BenchCase } from '../support/bench-case.js'
import { paired } from '../support/paired.js'
import { pairs } from './one-caller.js'

export const oneCallerBackground: BenchCase = {
  name: 'one-caller-background',
  title: "One caller in sequence, uncontended, release: 'background'",
  async run(bench, findings) {
    const { address } = bench
    await using raw = await openRaw(address)
    await using awaited = await openLibrary(address)
    await using library = await openLibrary(address, { release: 'background' })
    await using decorated = await openDecorated(address, { release: 'background' })
    await using redlock = bench.redisPort === undefined ? undefined : await openRedlock(bench.redisPort)
    await using bare = address.kind === 'postgres' ? undefined : await openBarePair(address)
    const rates = await paired(
      {
        raw: pairs(raw),
        'library, awaited': pairs(awaited),
        library: pairs(library),
        decorator: pairs(decorated),
        redlock: redlock && pairs(redlock),
        'one statement alone': bare && pairs(bare),
      },
      bench,
    )
    for (const [subject, samples] of Object.entries(rates))
      if (samples.length > 0) findings.rate(subject, 'locks/s', samples)
    findings.rateRatio('library / raw', rates.library, rates.raw, { atLeast: 1.5 })
    findings.rateRatio('decorator / raw', rates.decorator, rates.raw, { atLeast: 1.5 })
    findings.rateRatio('library / awaited', rates.library, rates['library, awaited'])
    if (redlock) findings.rateRatio('library / redlock', rates.library, rates.redlock, { atLeast: 1 })
    if (redlock) findings.rateRatio('decorator / redlock', rates.decorator, rates.redlock, { atLeast: 1 })
  },
}
