import type { ServerAddress } from '../../dev/servers/index.js'
import type { Observer } from './observer.js'
import type { Findings } from './report.js'

/** What every case is given. */
export interface Bench {
  readonly address: ServerAddress
  readonly observer: Observer
  /** Undefined where there is no `redis-server`. */
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
