import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Bench, BenchCase } from '../support/bench-case.js'
import { Worker } from '../support/worker.js'
import type { DepositArgument, DepositResult } from './deposit-worker.js'

const callers = 1000
const names = 50
const poolSize = 10
const table = 'bench_account'

async function fillTable(bench: Bench): Promise<void> {
  await bench.observer.execute(`DROP TABLE IF EXISTS ${table}`)
  await bench.observer.execute(`CREATE TABLE ${table} (id INT PRIMARY KEY, balance INT NOT NULL)`)
  const rows = Array.from({ length: names }, (_, id) => `(${id}, 0)`)
  await bench.observer.execute(`INSERT INTO ${table} VALUES ${rows.join()}`)
}

async function totalBalance(bench: Bench): Promise<number> {
  const [row] = await bench.observer.rows(`SELECT SUM(balance) AS total FROM ${table}`)
  return Number(row?.['total'])
}

async function openWorker(bench: Bench): Promise<Worker> {
  const worker = new Worker(path.join(__dirname, 'deposit-worker.ts'))
  await worker.call('open', { address: bench.address, poolSize })
  return worker
}

/** Resolves to the number of callers served: all of them, or those served before a pause of `patience` milliseconds. */
async function stuckAfter(worker: Worker, work: Promise<unknown>, patience: number): Promise<number> {
  let finished = false
  const settled = work.then(
    () => (finished = true),
    () => undefined,
  )
  let done = 0
  for (let since = performance.now(); !finished && performance.now() - since < patience;) {
    await Promise.race([sleep(50), settled])
    const now = await worker.call<number>('done')
    if (now !== done) since = performance.now()
    done = now
  }
  return done
}

export const decoratedMethod: BenchCase = {
  name: 'decorated',
  title: `Decorated method over a TypeORM update, ${callers} callers, poolSize ${poolSize}, ${names} names`,
  async run(bench, findings) {
    await fillTable(bench)
    const deposit = (worker: Worker, subject: DepositArgument['subject']) =>
      worker.call<DepositResult>('deposit', { subject, callers, names } satisfies DepositArgument)

    const library = await openWorker(bench)
    try {
      const times: DepositResult[] = []
      for (let round = 0; round <= bench.rounds; round++) times.push(await deposit(library, 'library'))
      const measured = times.slice(1) // the first one warms up
      findings.figure(
        'library: all callers served',
        'ms',
        measured.map(({ ms }) => ms),
        measured.map(({ cpu }) => cpu),
      )
      const total = await totalBalance(bench)
      const expected = callers * times.length
      findings.must('library: no lost update', total === expected, `${total} of ${expected} deposits`)
      await library.call('close')
    } finally {
      await library.kill()
    }

    const naive = await openWorker(bench)
    const work = deposit(naive, 'naive')
    try {
      const done = await stuckAfter(naive, work, bench.quick ? 1000 : 5000)
      findings.note(
        done < callers
          ? `naive: deadlock. ${done} of ${callers} callers were served before progress stopped; its process was killed`
          : 'naive: no deadlock this time',
      )
      findings.bound('the naive design deadlocks', done < callers, `${done} of ${callers} callers were served`)
    } finally {
      await naive.kill()
      await work.catch(() => undefined)
    }
    await bench.observer.execute(`DROP TABLE ${table}`)
  },
}
