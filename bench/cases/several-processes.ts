import type { SubjectKind } from '../subjects/open-subject.js'
import type { Bench, BenchCase } from '../support/bench-case.js'
import { paired } from '../support/paired.js'
import type { Findings } from '../support/report.js'
import { percentile, sum } from '../support/statistics.js'
import type { Contender } from './contending-worker.js'
import { allWaits, Fleet, leastShare, servedByProcess, type ContentionSample } from './fleet.js'

const kinds = ['library', 'polling library', 'naive'] as const satisfies SubjectKind[]
const contenders: readonly Contender[] = kinds.map((kind) => ({ label: kind, kind }))

function report(findings: Findings, subject: string, samples: readonly ContentionSample[], bounded: boolean): void {
  findings.rate(subject, 'locks/s', samples)
  for (const [label, share] of [
    ['median', 0.5],
    ['p99', 0.99],
    ['longest', 1],
  ] as const) {
    findings.figure(
      `${subject}: ${label} wait`,
      'ms',
      samples.map((sample) => percentile(allWaits(sample), share)),
    )
  }
  const total = servedByProcess(samples)
  const percents = total.map((served) => `${((served * 100) / sum(total)).toFixed(0)} %`).join(', ')
  const worst = Math.min(...samples.map((sample) => leastShare(sample.servedByProcess)))
  const detail = `${percents}; least share in one sample ${worst.toFixed(2)} of the fair one`
  if (bounded) findings.bound(`${subject}: no process below half of its fair share`, leastShare(total) >= 0.5, detail)
  else findings.note(`${subject}: shares ${detail}`)

  const overlaps = sum(samples.map((sample) => sample.overlaps))
  findings.must(`${subject}: one holder at a time`, overlaps === 0, `${overlaps} overlaps`)
  const unserved = samples.map((sample) => sample.unserved)
  if (bounded) {
    findings.must(
      `${subject}: every caller served`,
      sum(unserved) === 0,
      `callers without a turn, by sample: ${unserved.join(', ')}`,
    )
  }
}

function severalProcesses(
  name: string,
  workMs: number,
  atLeast: Record<'library' | 'polling library', number>,
): BenchCase {
  const work = workMs === 0 ? 'empty work' : `${workMs} ms of work`
  return {
    name,
    title: `${Fleet.processes} processes × ${Fleet.callers} callers, one name, ${work}`,
    async run(bench, findings) {
      await using fleet = await Fleet.open(bench.address, contenders)
      const sampler = (subject: SubjectKind) => (ms: number) => fleet.contend(subject, ms, workMs)
      const results = await paired(
        { library: sampler('library'), 'polling library': sampler('polling library'), naive: sampler('naive') },
        longer(bench),
      )
      for (const kind of kinds) report(findings, kind, results[kind], kind !== 'naive')
      for (const kind of ['library', 'polling library'] as const) {
        findings.rateRatio(`${kind} / naive`, results[kind], results.naive, { atLeast: atLeast[kind] })
      }
    },
  }
}

/** Shares need many turns, and a turn may last 100 ms. */
function longer({ rounds, sampleMs }: Bench): Pick<Bench, 'rounds' | 'sampleMs'> {
  return { rounds, sampleMs: sampleMs * 3 }
}

export const severalProcessesEmptyWork = severalProcesses('processes', 0, { library: 20, 'polling library': 10 })
export const severalProcessesShortWork = severalProcesses('processes-1ms', 1, { library: 1.2, 'polling library': 1.2 })
