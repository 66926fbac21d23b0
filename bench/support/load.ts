/** Runs `turn` repeatedly until the time is over; resolves to the runs per second. */
export async function inSequence(ms: number, turn: (count: number) => Promise<unknown>): Promise<number> {
  const start = performance.now()
  const end = start + ms
  let count = 0
  while (performance.now() < end) await turn(count++)
  return (count * 1000) / (performance.now() - start)
}

export interface LoadResult {
  readonly perSecond: number
  /** The number of turns of each caller. */
  readonly served: readonly number[]
}

/** Runs that many callers, each in a loop of its own. The time until the last one has finished counts. */
export async function concurrently(
  callers: number,
  ms: number,
  turn: (caller: number) => Promise<unknown>,
): Promise<LoadResult> {
  const start = performance.now()
  const end = start + ms
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
  const seconds = (performance.now() - start) / 1000
  return { perSecond: served.reduce((total, count) => total + count, 0) / seconds, served }
}
