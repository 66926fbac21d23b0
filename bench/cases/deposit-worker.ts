import type { DataSource } from 'typeorm'
import type { ServerAddress } from '../../dev/servers/index.js'
import type { NamedLockService } from '../../src/index.js'
import { builtLibrary } from '../support/built-library.js'
import { openDataSource } from '../support/data-source.js'
import { startMeasuring } from '../support/load.js'
import { serveJobs } from '../support/serve-jobs.js'
import { Account, LockedDeposits, NaiveDeposits, type Deposits } from './deposits.js'

export interface DepositArgument {
  readonly subject: 'library' | 'naive'
  readonly callers: number
  readonly names: number
}

export interface DepositResult {
  /** Of all callers together. */
  readonly ms: number
  /** Microseconds of CPU per caller. */
  readonly cpu: number
}

let dataSource: DataSource
let locks: NamedLockService
let done = 0

serveJobs({
  async open({ address, poolSize }: { address: ServerAddress; poolSize: number }) {
    dataSource = await openDataSource(address, { poolSize, entities: [Account] })
    locks = new (builtLibrary().NamedLockService)(dataSource)
  },
  /** Resolves to the milliseconds that all callers together took, and the CPU of each. */
  async deposit({ subject, callers, names }: DepositArgument) {
    const deposits: Deposits =
      subject === 'library' ? new LockedDeposits(dataSource, locks) : new NaiveDeposits(dataSource)
    done = 0
    const measure = startMeasuring()
    const one = async (caller: number) => {
      await deposits.deposit(caller % names)
      done++
    }
    await Promise.all(Array.from({ length: callers }, (_, caller) => one(caller)))
    const { perSecond, cpu } = measure.end(callers)
    return { ms: (callers * 1000) / perSecond, cpu } satisfies DepositResult
  },
  done: () => done,
  async close() {
    await locks.close()
    await dataSource.destroy()
  },
})
