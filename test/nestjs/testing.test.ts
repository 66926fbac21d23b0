import 'reflect-metadata'
import { Inject, Injectable } from '@nestjs/common'
import { Test } from '@nestjs/testing'
import { TypeOrmModule } from '@nestjs/typeorm'
import { expect } from 'chai'
import { describe, it } from 'mocha'
import { DataSource } from 'typeorm'
import {
  NamedLock,
  NamedLockClosedError,
  NamedLockService,
  NamedLockTimeoutError,
  WithNamedLock,
} from '../../src/index.js'
import { getNamedLockServiceToken, InjectNamedLocks, NamedLockModule } from '../../src/nestjs/index.js'
import { InMemoryNamedLockService } from '../../src/testing/index.js'
import { rejection } from '../support/rejection.js'

@Injectable()
class Orders {
  constructor(@Inject(NamedLockService) readonly locks: NamedLockService) {}

  @WithNamedLock((id) => `order:${id}`, 0)
  async pay(id: number): Promise<string> {
    return `${NamedLock.assertHeld(`order:${id}`).name} paid`
  }
}

@Injectable()
class Reports {
  constructor(@InjectNamedLocks('reports') readonly locks: NamedLockService) {}
}

@Injectable()
class Audit {
  constructor(@Inject(DataSource) readonly dataSource: DataSource) {}

  @WithNamedLock('audit')
  async run(): Promise<unknown> {
    return this.dataSource.query('SELECT 1 AS one')
  }
}

describe('a test of a Nest application', () => {
  it('replaces the service by in-memory locks, and needs no DataSource', async () => {
    const locks = new InMemoryNamedLockService()
    const reports = new InMemoryNamedLockService()
    const imports = [NamedLockModule.forRoot(), NamedLockModule.forRoot({}, 'reports')]
    const module = await Test.createTestingModule({ imports, providers: [Orders, Reports] })
      .overrideProvider(NamedLockService)
      .useValue(locks)
      .overrideProvider(getNamedLockServiceToken('reports'))
      .useValue(reports)
      .compile()
    const app = await module.init()
    expect(app.get(Reports).locks).to.equal(reports)

    const orders = app.get(Orders)
    const elsewhere = locks.holdElsewhere('order:42')
    await rejection(orders.pay(42), NamedLockTimeoutError)
    elsewhere.release()
    expect(await orders.pay(42)).to.equal('order:42 paid')

    await app.close()
    await rejection(orders.pay(42), NamedLockClosedError)
    await rejection(reports.acquire('x'), NamedLockClosedError)
  })

  it('leaves doubles of other kinds alone', async () => {
    const double = { withLock: (_name: string, work: () => unknown) => work() }
    const module = await Test.createTestingModule({ imports: [NamedLockModule.forRoot()] })
      .overrideProvider(NamedLockService)
      .useValue(double)
      .compile()
    expect(module.get(NamedLockService)).to.equal(double)
    await module.close()
  })

  it('finds the double by a DataSource of another kind', async () => {
    const module = await Test.createTestingModule({
      imports: [TypeOrmModule.forRoot({ type: 'sqljs' }), NamedLockModule.forRoot()],
      providers: [Audit],
    })
      .overrideProvider(NamedLockService)
      .useFactory({
        factory: (dataSource: DataSource) => new InMemoryNamedLockService(dataSource),
        inject: [DataSource],
      })
      .compile()
    expect(await module.get(Audit).run()).to.deep.equal([{ one: 1 }])
    await module.close()
  })
})
