import type { ServerAddress } from '../../dev/servers/index.js'
import type { Observer } from './observer.js'
import type { Findings } from './report.js'

/** The context passed to every case. */
export interface Bench {
  readonly address: ServerAddress
  readonly observer: Observer
  /** Undefined without a `redis-server` on this machine. */
  readonly redisPort: number | undefined
  /** Samples per subject. */
  readonly rounds: number
  /** Length of one sample of throughput. */
  readonly sampleMs: number
  /** A smoke test: everything runs, no figure means anything. */
  readonly quick: boolean
}

export interface BenchCase {
  readonly name: string
  readonly title: string
  run(bench: Bench, findings: Findings): Promise<void>
}
