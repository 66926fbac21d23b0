import path from 'node:path'
import type { ServerAddress } from '../../dev/servers/index.js'
import { countOverlaps } from '../support/exclusivity.js'
import type { Throughput } from '../support/load.js'
import { sum } from '../support/statistics.js'
import { Worker } from '../support/worker.js'
import type { ContendArgument, Contender, ContendResult } from './contending-worker.js'

/** One sample of all processes together. */
export interface ContentionSample extends Throughput {
  readonly servedByProcess: readonly number[]
  readonly unserved: number
  readonly overlaps: number
  readonly waits: readonly Float64Array[]
}

/** Several processes that contend for one name, with many callers each. */
export class Fleet implements AsyncDisposable {
  static readonly processes = 4
  static readonly callers = 25
  readonly #workers = Array.from(
    { length: Fleet.processes },
    () => new Worker(path.join(__dirname, 'contending-worker.ts')),
  )

  static async open(address: ServerAddress, contenders: readonly Contender[]): Promise<Fleet> {
    const fleet = new Fleet()
    try {
      await Promise.all(fleet.#workers.map((worker) => worker.call('open', { contenders, address })))
      return fleet
    } catch (error) {
      await fleet.#kill()
      throw error
    }
  }

  /** Runs all processes at once; they are warm, and start when the message reaches them. */
  async contend(subject: string, ms: number, workMs: number): Promise<ContentionSample> {
    const argument: ContendArgument = { subject, callers: Fleet.callers, ms, workMs }
    const results = await Promise.all(this.#workers.map((worker) => worker.call<ContendResult>('contend', argument)))
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

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await Promise.all(this.#workers.map((worker) => worker.call('close')))
    } finally {
      await this.#kill()
    }
  }

  async #kill(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.kill()))
  }
}

/** Milliseconds from the calls to the acquisitions, of all callers. */
export function allWaits(sample: ContentionSample): Float64Array {
  return Float64Array.from(sample.waits.flatMap((waits) => [...waits]))
}

/** The share of the process that got least: 1 is exactly its fair share, 0 is nothing. */
export function leastShare(served: readonly number[]): number {
  return (Math.min(...served) * served.length) / sum(served)
}

/** The turns of each process, over all samples. */
export function servedByProcess(samples: readonly ContentionSample[]): number[] {
  return Array.from({ length: Fleet.processes }, (_, index) =>
    sum(samples.map((sample) => sample.servedByProcess[index]!)),
  )
}
