import type { Throughput } from './load.js'
import { median, pairwise, percentile } from './statistics.js'

/** One line: the medians of both versions, and the median and the middle half of the ratios. */
export function printComparison(name: string, samples: Readonly<Record<'before' | 'after', Throughput[]>>): void {
  const parts = (['cpu', 'perSecond'] as const).map((what) => {
    const before = samples.before.map((sample) => sample[what])
    const after = samples.after.map((sample) => sample[what])
    const ratios = pairwise(after, before)
    const digits = what === 'cpu' ? 1 : 0
    const medians = `${median(before).toFixed(digits)} -> ${median(after).toFixed(digits)}`
    const quartiles = [0.25, 0.75].map((share) => percentile(ratios, share).toFixed(3)).join(' … ')
    return `${what === 'cpu' ? 'CPU µs' : 'per second'} ${medians}, ${median(ratios).toFixed(3)} × (${quartiles})`
  })
  process.stdout.write(`${name.padEnd(22)} ${parts.join('   ')}\n`)
}
