import path from 'node:path'
import type { SubjectKind } from '../subjects/open-subject.js'
import type { Bench, BenchCase } from '../support/bench-case.js'
import { countOverlaps } from '../support/exclusivity.js'
import type { Throughput } from '../support/load.js'
import { paired } from '../support/paired.js'
import type { Findings } from '../support/report.js'
import { percentile, sum } from '../support/statistics.js'
import { Worker } from '../support/worker.js'
import type { ContendArgument, ContendResult } from './contending-worker.js'

const processes = 4
const callers = 25
const kinds = ['library', 'polling library', 'naive'] as const satisfies SubjectKind[]

interface Sample extends Throughput {
  readonly servedByProcess: readonly number[]
  readonly unserved: number
  readonly overlaps: number
  readonly waits: readonly Float64Array[]
}

/** Runs all processes at once; they are warm, and start when the message reaches them. */
async function contend(workers: readonly Worker[], argument: ContendArgument): Promise<Sample> {
  const results = await Promise.all(workers.map((worker) => worker.call<ContendResult>('contend', argument)))
  const entries = results.map((result) => result.holds[0]!)
  const exits = results.map((result) => result.holds.at(-1)!)
  const seconds = (Math.max(...exits) - Math.min(...entries)) / 1_000_000
  const turns = sum(results.map((result) => result.holds.length / 2))
  return {
    perSecond: turns / seconds,
    cpu: sum(results.map((result) => result.cpu)) / turns,
    servedByProcess: results.map((result) => sum([...result.served])),
    unserved: sum(results.map((result) => result.served.filter((count) => count === 0).length)),
    overlaps: countOverlaps(results.map((result) => result.holds)),
    waits: results.map((result) => result.waits),
  }
}

/** The share of the process that got least: 1 is exactly its fair share, 0 is nothing. */
function leastShare(servedByProcess: readonly number[]): number {
  return (Math.min(...servedByProcess) * servedByProcess.length) / sum(servedByProcess)
}

function overRounds(samples: readonly Sample[]): number[] {
  return Array.from({ length: processes }, (_, index) => sum(samples.map((sample) => sample.servedByProcess[index]!)))
}

function report(findings: Findings, subject: string, samples: readonly Sample[], bounded: boolean): void {
  findings.rate(subject, 'locks/s', samples)
  const allWaits = (sample: Sample) => Float64Array.from(sample.waits.flatMap((waits) => [...waits]))
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
  const total = overRounds(samples)
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
    title: `${processes} processes × ${callers} callers, one name, ${work}`,
    async run(bench, findings) {
      const workers = Array.from({ length: processes }, () => new Worker(path.join(__dirname, 'contending-worker.ts')))
      try {
        await Promise.all(workers.map((worker) => worker.call('open', { kinds, address: bench.address })))
        const sampler = (subject: SubjectKind) => (ms: number) => contend(workers, { subject, callers, ms, workMs })
        const results = await paired(
          { library: sampler('library'), 'polling library': sampler('polling library'), naive: sampler('naive') },
          longer(bench),
        )
        for (const kind of kinds) report(findings, kind, results[kind], kind !== 'naive')
        for (const kind of ['library', 'polling library'] as const) {
          findings.rateRatio(`${kind} / naive`, results[kind], results.naive, { atLeast: atLeast[kind] })
        }
        await Promise.all(workers.map((worker) => worker.call('close')))
      } finally {
        await Promise.all(workers.map((worker) => worker.kill()))
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
