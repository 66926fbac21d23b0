import type { DataSource } from 'typeorm'
import type { ServerAddress } from '../../dev/servers/index.js'
import { openDataSource } from '../support/data-source.js'
import { lockOn, unlockOn } from './by-hand.js'
import type { Subject } from './subject.js'

/** The obvious implementation: every lock, and every wait for one, occupies a QueryRunner of its own. */
export async function openNaive(address: ServerAddress): Promise<Subject> {
  const dataSource = await openDataSource(address)
  return {
    withLock: (name, work) => naiveWithLock(dataSource, name, work),
    [Symbol.asyncDispose]: () => dataSource.destroy(),
  }
}

export async function naiveWithLock<T>(dataSource: DataSource, name: string, work: () => T | Promise<T>): Promise<T> {
  const runner = dataSource.createQueryRunner()
  await runner.connect()
  try {
    await lockOn(runner, name)
    try {
      return await work()
    } finally {
      await unlockOn(runner, name)
    }
  } finally {
    await runner.release()
  }
}
