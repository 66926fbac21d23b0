import { setTimeout as sleep } from 'node:timers/promises'
import type { ServerAddress } from '../../dev/servers/index.js'
import { builtLibrary } from '../support/built-library.js'
import type { BenchCase } from '../support/bench-case.js'
import { openDataSource } from '../support/data-source.js'
import { concurrently } from '../support/load.js'
import { paired } from '../support/paired.js'

const callers = 100
const permits = 10
const name = 'geocoder'

interface Semaphore extends AsyncDisposable {
  hold(work: () => Promise<void>): Promise<void>
}

async function openLibrary(address: ServerAddress): Promise<Semaphore> {
  const { NamedLockService } = builtLibrary()
  const dataSource = await openDataSource(address)
  const locks = new NamedLockService(dataSource)
  return {
    hold: (work) => locks.withLock(name, { permits, timeout: '60s' }, work),
    async [Symbol.asyncDispose]() {
      await locks.close()
      await dataSource.destroy()
    },
  }
}

/** What one writes by hand: a connection of the pool for each caller, and one name after the other until one is free. */
async function openByHand(address: ServerAddress): Promise<Semaphore> {
  const dataSource = await openDataSource(address)
  const isPostgres = address.kind === 'postgres'
  const take = isPostgres
    ? 'SELECT CASE WHEN pg_try_advisory_lock(hashtextextended($1, 0)) THEN 1 ELSE 0 END AS got'
    : 'SELECT GET_LOCK(?, 0) AS got'
  const give = isPostgres ? 'SELECT pg_advisory_unlock(hashtextextended($1, 0))' : 'SELECT RELEASE_LOCK(?)'
  return {
    async hold(work) {
      const runner = dataSource.createQueryRunner()
      await runner.connect()
      try {
        for (let i = Math.floor(Math.random() * permits); ; i++) {
          const one = `${name}:${i % permits}`
          const [row] = await runner.query(take, [one])
          if (Number(row.got) === 1) {
            await work()
            await runner.query(give, [one])
            return
          }
          if (i % permits === permits - 1) await sleep(1)
        }
      } finally {
        await runner.release()
      }
    },
    [Symbol.asyncDispose]: () => dataSource.destroy(),
  }
}

function contend(semaphore: Semaphore) {
  return async (ms: number) => {
    let inside = 0
    let most = 0
    const { perSecond, cpu, served } = await concurrently(callers, ms, () =>
      semaphore.hold(async () => {
        most = Math.max(most, ++inside)
        await Promise.resolve()
        inside--
      }),
    )
    return { perSecond, cpu, most, unserved: served.filter((count) => count === 0).length }
  }
}

export const permitsOfOneName: BenchCase = {
  name: 'permits',
  title: `${callers} callers, ${permits} permits of one name, one process, empty work`,
  async run(bench, findings) {
    await using library = await openLibrary(bench.address)
    await using byHand = await openByHand(bench.address)
    const results = await paired({ library: contend(library), byHand: contend(byHand) }, bench)
    findings.rate('library', 'permits/s', results.library)
    findings.rate('by hand, a loop over the names', 'permits/s', results.byHand)
    findings.rateRatio('library / by hand', results.library, results.byHand, { atLeast: 30 })
    const most = Math.max(...results.library.map((result) => result.most))
    findings.must('never more holders than permits', most <= permits, `${most} holders of ${permits} permits`)
    const unserved = results.library.reduce((sum, result) => sum + result.unserved, 0)
    findings.must('every caller served', unserved === 0, `${unserved} callers without a turn`)
  },
}
