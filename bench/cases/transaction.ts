import type { DataSource, EntityManager } from 'typeorm'
import type { Bench, BenchCase } from '../support/bench-case.js'
import { lockOn, unlockOn } from '../subjects/by-hand.js'
import { builtLibrary } from '../support/built-library.js'
import { openDataSource } from '../support/data-source.js'
import { concurrently, type Throughput } from '../support/load.js'
import { paired } from '../support/paired.js'
import { sum } from '../support/statistics.js'

const callers = 8

/** Adds one to a row, in a transaction under the row's lock. */
type Increment = (row: number) => Promise<void>

async function update(manager: EntityManager, row: number): Promise<void> {
  const parameter = manager.connection.options.type === 'postgres' ? '$1' : '?'
  await manager.query(`UPDATE bench_stock SET left_over = left_over + 1 WHERE id = ${parameter}`, [row])
}

/**
 * The usual code without the library: a QueryRunner per call, the lock around the transaction, both on its connection.
 */
function byHand(dataSource: DataSource): Increment {
  return async (row) => {
    const runner = dataSource.createQueryRunner()
    await runner.connect()
    try {
      await lockOn(runner, `stock:${row}`)
      try {
        await runner.startTransaction()
        await update(runner.manager, row)
        await runner.commitTransaction()
      } catch (error) {
        if (runner.isTransactionActive) await runner.rollbackTransaction()
        throw error
      } finally {
        await unlockOn(runner, `stock:${row}`)
      }
    } finally {
      await runner.release()
    }
  }
}

export const transaction: BenchCase = {
  name: 'transaction',
  title: 'A transaction under a lock: one UPDATE, both on one connection',
  async run(bench, findings) {
    await bench.observer.execute(`DROP TABLE IF EXISTS bench_stock`)
    await bench.observer.execute(`CREATE TABLE bench_stock (id INT PRIMARY KEY, left_over INT NOT NULL)`)
    for (let row = 0; row < callers; row++) {
      await bench.observer.execute(`INSERT INTO bench_stock VALUES (${row}, 0)`)
    }
    const { NamedLockService } = builtLibrary()
    const dataSource = await openDataSource(bench.address)
    const ownDataSource = await openDataSource(bench.address)
    const locks = new NamedLockService(ownDataSource, { timeout: '60s' })
    const library: Increment = (row) => locks.transaction(`stock:${row}`, (manager) => update(manager, row))
    const hand = byHand(dataSource)
    let calls = 0
    const run = (increment: Increment, count: number, rowOf: (caller: number) => number) => async (ms: number) => {
      const result = await concurrently(count, ms, (caller) => increment(rowOf(caller)))
      calls += sum(result.served)
      return result
    }
    try {
      const rates = await paired(
        {
          'library, 1 caller': run(library, 1, () => 0),
          'by hand, 1 caller': run(hand, 1, () => 0),
          [`library, ${callers} callers, ${callers} names`]: run(library, callers, (caller) => caller),
          [`by hand, ${callers} callers, ${callers} names`]: run(hand, callers, (caller) => caller),
          [`library, ${callers} callers, one name`]: run(library, callers, () => 0),
          [`by hand, ${callers} callers, one name`]: run(hand, callers, () => 0),
        },
        bench,
      )
      const samples = (label: string): Throughput[] => (rates as Record<string, Throughput[]>)[label] ?? []
      for (const label of Object.keys(rates)) findings.rate(label, 'transactions/s', samples(label))
      for (const load of ['1 caller', `${callers} callers, ${callers} names`, `${callers} callers, one name`]) {
        findings.rateRatio(`library / by hand, ${load}`, samples(`library, ${load}`), samples(`by hand, ${load}`), {
          atLeast: 1,
        })
      }
      const written = await total(bench)
      findings.must('no update lost', written === calls, `${calls} calls, ${written} in the table`)
    } finally {
      await locks.close()
      await Promise.all([dataSource.destroy(), ownDataSource.destroy()])
      await bench.observer.execute(`DROP TABLE bench_stock`)
    }
  },
}

async function total(bench: Bench): Promise<number> {
  const rows = await bench.observer.rows(`SELECT SUM(left_over) AS n FROM bench_stock`)
  return Number(rows[0]?.n)
}
