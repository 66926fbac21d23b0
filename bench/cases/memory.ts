import path from 'node:path'
import type { BenchCase } from '../support/bench-case.js'
import { Worker } from '../support/worker.js'
import type { Growth } from './memory-worker.js'

export const memory: BenchCase = {
  name: 'memory',
  title: 'Memory per held lock and per waiter, and growth over many cycles',
  async run(bench, findings) {
    // By default PostgreSQL's lock table has room for about 7 000 locks.
    const locks = bench.quick ? 1000 : bench.address.kind === 'postgres' ? 5000 : 10_000
    const cycles = bench.quick ? 5000 : 100_000
    const worker = new Worker(path.join(__dirname, 'memory-worker.ts'), ['--expose-gc'])
    try {
      await worker.call('open', bench.address)
      const sample = async (job: string) => {
        await worker.call(job, locks) // one-time allocations happen here, before the samples
        const samples: number[] = []
        for (let round = 0; round < bench.rounds; round++) samples.push(await worker.call<number>(job, locks))
        return samples
      }
      findings.figure(`per held lock (${locks} held)`, 'bytes', await sample('perHeldLock'))
      findings.figure(`per waiter (${locks} waiting)`, 'bytes', await sample('perWaiter'))

      const { before, after } = await worker.call<Growth>('cycles', cycles)
      const percent = ((after - before) / before) * 100
      findings.figure(`heap before ${cycles} cycles`, 'kB', [before / 1024])
      findings.figure(`heap after ${cycles} cycles`, 'kB', [after / 1024])
      findings.bound('heap after the cycles within 5 %', Math.abs(percent) <= 5, `${percent.toFixed(2)} %`)
      await worker.call('close')
    } finally {
      await worker.kill()
    }
  },
}
