import type { Bench } from './bench-case.js'

/** Takes one sample that lasts about `ms`. */
export type Sampler<T> = (ms: number) => Promise<T>

/**
 * Warms every subject up, then takes `rounds` samples of each, side by side: A B C, C B A, A B C, … A temporary
 * slowdown of the machine affects all subjects, and none always runs first. A missing subject has no samples.
 */
export async function paired<K extends string, T>(
  samplers: Readonly<Record<K, Sampler<T> | undefined>>,
  { rounds, sampleMs }: Pick<Bench, 'rounds' | 'sampleMs'>,
): Promise<Record<K, T[]>> {
  const names = Object.keys(samplers) as K[]
  const results = Object.fromEntries(names.map((name) => [name, [] as T[]])) as Record<K, T[]>
  for (const name of names) await samplers[name]?.(sampleMs / 2)
  for (let round = 0; round < rounds; round++) {
    const order = round % 2 ? [...names].reverse() : names
    for (const name of order) {
      const sample = samplers[name]
      if (sample) results[name].push(await sample(sampleMs))
    }
  }
  return results
}
