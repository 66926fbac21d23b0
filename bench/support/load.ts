/** What a sample of load shows. */
export interface Throughput {
  /** Turns per second. */
  readonly perSecond: number
  /**
   * Microseconds of CPU per turn in this process, user and system, all threads. It varies far less than the rate: a busy machine
   * makes a process wait, but hardly makes it work more.
   */
  readonly cpu: number
}

export interface LoadResult extends Throughput {
  /** The number of turns of each caller. */
  readonly served: readonly number[]
}

/** Measures the time and the CPU from here until `end` is called with the number of turns. */
export function startMeasuring(): { readonly start: number; end(turns: number): Throughput } {
  const cpu = process.cpuUsage()
  const start = performance.now()
  return {
    start,
    end(turns) {
      const seconds = (performance.now() - start) / 1000
      const { user, system } = process.cpuUsage(cpu)
      return { perSecond: turns / seconds, cpu: (user + system) / turns }
    },
  }
}

/** Runs `turn` repeatedly until the time is over. */
export async function inSequence(ms: number, turn: (count: number) => Promise<unknown>): Promise<Throughput> {
  const measure = startMeasuring()
  const end = measure.start + ms
  let count = 0
  while (performance.now() < end) await turn(count++)
  return measure.end(count)
}

/** Runs that many callers, each in a loop of its own. The time until the last one has finished counts. */
export async function concurrently(
  callers: number,
  ms: number,
  turn: (caller: number) => Promise<unknown>,
): Promise<LoadResult> {
  const measure = startMeasuring()
  const end = measure.start + ms
  const served = new Array<number>(callers).fill(0)
  const loop = async (_: number, caller: number) => {
    let count = 0
    while (performance.now() < end) {
      await turn(caller)
      count++
    }
    served[caller] = count
  }
  await Promise.all(served.map(loop))
  return { ...measure.end(served.reduce((total, count) => total + count, 0)), served }
}
