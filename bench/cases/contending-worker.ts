import type { ServerAddress } from '../../dev/servers/index.js'
import { openSubject, type SubjectKind } from '../subjects/open-subject.js'
import type { NamedLockServiceOptions } from '../../src/index.js'
import type { Subject } from '../subjects/subject.js'
import { monotonicMicroseconds } from '../support/clock.js'
import { concurrently } from '../support/load.js'
import { serveJobs } from '../support/serve-jobs.js'
import { sum } from '../support/statistics.js'

/** A subject of this process; the label distinguishes several of one kind. */
export interface Contender {
  readonly label: string
  readonly kind: SubjectKind
  readonly options?: NamedLockServiceOptions
}

export interface ContendArgument {
  /** The label of a contender. */
  readonly subject: string
  readonly callers: number
  readonly ms: number
  readonly workMs: number
}

export interface ContendResult {
  /** The number of turns of each caller. */
  readonly served: readonly number[]
  /** Entry and exit in turn, on the clock that all processes share. */
  readonly holds: Float64Array
  /** Milliseconds from the call to the acquisition. */
  readonly waits: Float64Array
  /** Microseconds of CPU of this process, for all turns together. */
  readonly cpu: number
}

const subjects = new Map<string, Subject>()

async function contend({ subject: label, callers, ms, workMs }: ContendArgument): Promise<ContendResult> {
  const subject = subjects.get(label)!
  const holds: number[] = []
  const waits: number[] = []
  const { served, cpu } = await concurrently(callers, ms, () => {
    const asked = performance.now()
    return subject.withLock('stock:7', async () => {
      holds.push(monotonicMicroseconds())
      waits.push(performance.now() - asked)
      await (workMs === 0 ? undefined : new Promise((resolve) => setTimeout(resolve, workMs)))
      holds.push(monotonicMicroseconds())
    })
  })
  return { served, holds: Float64Array.from(holds), waits: Float64Array.from(waits), cpu: cpu * sum(served) }
}

serveJobs({
  open: async ({ contenders, address }: { contenders: readonly Contender[]; address: ServerAddress }) => {
    for (const { label, kind, options } of contenders) subjects.set(label, await openSubject(kind, address, options))
  },
  contend,
  close: async () => {
    for (const subject of subjects.values()) await subject[Symbol.asyncDispose]()
  },
})
