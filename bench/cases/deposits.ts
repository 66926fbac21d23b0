import { Column, Entity, PrimaryColumn, type DataSource } from 'typeorm'
import type { NamedLockService } from '../../src/index.js'
import { naiveWithLock } from '../subjects/naive.js'
import { builtLibrary } from '../support/built-library.js'

const { WithNamedLock } = builtLibrary()

@Entity('bench_account')
export class Account {
  @PrimaryColumn('int')
  id!: number

  @Column('int')
  balance!: number
}

/** An update that needs the lock: the value that it writes depends on the value that it has read. */
async function deposit(dataSource: DataSource, id: number): Promise<void> {
  const accounts = dataSource.getRepository(Account)
  const account = await accounts.findOneByOrFail({ id })
  await accounts.update({ id }, { balance: account.balance + 1 })
}

export interface Deposits {
  deposit(id: number): Promise<void>
}

export class LockedDeposits implements Deposits {
  constructor(
    readonly dataSource: DataSource,
    readonly locks: NamedLockService,
  ) {}

  @WithNamedLock((id: number) => `account:${id}`, '60s')
  async deposit(id: number): Promise<void> {
    await deposit(this.dataSource, id)
  }
}

/** The same with a QueryRunner per lock, taken from the pool that the work needs too. */
export class NaiveDeposits implements Deposits {
  constructor(readonly dataSource: DataSource) {}

  deposit(id: number): Promise<void> {
    return naiveWithLock(this.dataSource, `account:${id}`, () => deposit(this.dataSource, id))
  }
}
