import type { BenchCase } from '../support/bench-case.js'
import { paired } from '../support/paired.js'
import { pairwise, percentile } from '../support/statistics.js'
import type { Contender } from './contending-worker.js'
import { allWaits, Fleet, type ContentionSample } from './fleet.js'

/** How long a process passes the lock on within itself: the longer, the more throughput, and the longer the tail of the waits. */
const periods = [10, 20, 35, 50, 75, 100, 200]
const times = [0, 8, 32]
const workMs = 1

const label = (handOver: { times: number; for: number }) => `times ${handOver.times}, for ${handOver.for} ms`
const settings = [...times.map((n) => ({ times: n, for: 100 })), ...periods.map((ms) => ({ times: 256, for: ms }))]
const contenders: readonly Contender[] = [
  ...settings.map((handOver): Contender => ({ label: label(handOver), kind: 'library', options: { handOver } })),
  { label: 'naive', kind: 'naive' },
]

export const handOver: BenchCase = {
  name: 'hand-over',
  title: `${Fleet.processes} processes × ${Fleet.callers} callers, one name, ${workMs} ms of work, by the option handOver`,
  async run(bench, findings) {
    await using fleet = await Fleet.open(bench.address, contenders)
    const samplers = Object.fromEntries(
      contenders.map((contender) => [contender.label, (ms: number) => fleet.contend(contender.label, ms, workMs)]),
    )
    const results = await paired<string, ContentionSample>(samplers, { ...bench, sampleMs: bench.sampleMs * 3 })
    const naive = results['naive'] ?? []
    const tail = (samples: readonly ContentionSample[]) => samples.map((sample) => percentile(allWaits(sample), 0.99))
    for (const contender of contenders) {
      const samples = results[contender.label] ?? []
      findings.rate(contender.label, 'locks/s', samples)
      findings.figure(`${contender.label}: p99 wait`, 'ms', tail(samples))
    }
    for (const { label: setting } of contenders.slice(0, -1)) {
      const samples = results[setting] ?? []
      const isDefault = setting === label({ times: 256, for: 50 })
      findings.rateRatio(`${setting} / naive`, samples, naive, isDefault ? { atLeast: 1.2 } : {})
      const tails = pairwise(tail(samples), tail(naive))
      findings.ratio(`${setting} / naive: p99 wait`, tails, isDefault ? { atMost: 1 } : {})
    }
  },
}
