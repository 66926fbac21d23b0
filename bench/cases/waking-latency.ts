import path from 'node:path'
import type { Bench, BenchCase } from '../support/bench-case.js'
import { paired } from '../support/paired.js'
import { median, pairwise, percentile } from '../support/statistics.js'
import { until } from '../support/until.js'
import { Worker } from '../support/worker.js'
import type { WakingSubject } from './waking-worker.js'

/** Microseconds from the release in one process to the acquisition in the other, which was blocked on the server. */
async function wakeOnce(bench: Bench, holder: Worker, waiter: Worker, subject: WakingSubject): Promise<number> {
  await holder.call('hold', subject)
  const waiting = waiter.call<number>('waitForIt', subject)
  await until('the waiter is blocked on the server', async () => (await bench.observer.blocked()) > 0)
  const sent = await holder.call<number>('letGo')
  return (await waiting) - sent
}

async function wakeOften(bench: Bench, workers: [Worker, Worker], subject: WakingSubject, ms: number) {
  const [holder, waiter] = workers
  const latencies: number[] = []
  for (const end = performance.now() + ms; performance.now() < end;) {
    latencies.push(await wakeOnce(bench, holder, waiter, subject))
  }
  return latencies
}

export const wakingLatency: BenchCase = {
  name: 'waking',
  title: '2 processes × 1 caller, the wait queued on the server before the release is sent',
  async run(bench, findings) {
    const file = path.join(__dirname, 'waking-worker.ts')
    const workers: [Worker, Worker] = [new Worker(file), new Worker(file)]
    try {
      await Promise.all(workers.map((worker) => worker.call('open', bench.address)))
      await Promise.all(workers.map((worker) => worker.call('warmUp', bench.quick ? 100 : 5000)))
      const results = await paired<WakingSubject, number[]>(
        {
          raw: (ms) => wakeOften(bench, workers, 'raw', ms),
          library: (ms) => wakeOften(bench, workers, 'library', ms),
        },
        bench,
      )
      for (const subject of ['raw', 'library'] as const) {
        findings.figure(subject, 'µs', results[subject].map(median))
        const p99 = results[subject].map((latencies) => percentile(latencies, 0.99))
        findings.figure(`${subject}: p99`, 'µs', p99)
      }
      findings.ratio('library / raw', pairwise(results.library.map(median), results.raw.map(median)), { atMost: 1.25 })
      findings.note(`wakings per sample: ${results.library.map((latencies) => latencies.length).join(', ')}`)
      await Promise.all(workers.map((worker) => worker.call('close')))
    } finally {
      await Promise.all(workers.map((worker) => worker.kill()))
    }
  },
}
