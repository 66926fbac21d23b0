import { TransactionalAdapterTypeOrm } from '@nestjs-cls/transactional-adapter-typeorm'
import {
  ClsPluginTransactional,
  getTransactionToken,
  Transactional,
  TransactionHost,
  type Propagation,
} from '@nestjs-cls/transactional'
import type { INestApplicationContext } from '@nestjs/common'
import { expect } from 'chai'
import { ClsModule, ClsService } from 'nestjs-cls'
import type { EntityManager } from 'typeorm'
import type { NamedLockServiceOptions } from '../../src/index.js'
import { start } from '../nestjs/support/nest-app.js'
import { forEachDialectAndTypeorm } from '../support/conformance.js'
import { typeorms, type DataSource } from '../support/typeorms.js'
import {
  decorated,
  direct,
  guarded,
  isolation,
  note,
  orders,
  outside,
  Scenes,
  type Kind,
  type TransactionLibrary,
} from './support/transaction-library.js'

type Adapter = TransactionalAdapterTypeOrm

const mine = new Error('mine')

/** @nestjs-cls/transactional in an application context. */
class Cls implements TransactionLibrary {
  constructor(readonly app: INestApplicationContext) {}

  static async start(dataSource: DataSource): Promise<Cls> {
    const provided = { module: class {}, providers: [{ provide: 'db', useValue: dataSource }], exports: ['db'] }
    const plugin = new ClsPluginTransactional({
      imports: [provided],
      adapter: new TransactionalAdapterTypeOrm({ dataSourceToken: 'db' }),
      enableTransactionProxy: true,
    })
    return new Cls(await start({ imports: [ClsModule.forRoot({ global: true, plugins: [plugin] })] }))
  }

  get host(): TransactionHost<Adapter> {
    return this.app.get(TransactionHost)
  }

  /** As `@InjectTransaction` injects it. */
  get injected(): EntityManager {
    return this.app.get(getTransactionToken())
  }

  manager(): EntityManager {
    return this.host.tx
  }

  transactional(kind: Kind, isolation?: string): MethodDecorator {
    return isolation
      ? Transactional<Adapter>(kind as Propagation, { isolationLevel: isolation as never })
      : Transactional(kind as Propagation)
  }

  /** Work of a request. */
  request<T>(work: () => Promise<T>): Promise<T> {
    return this.app.get(ClsService).run(work)
  }
}

/** docs/transactions-with-other-libraries.md says the same in words. */
describe('@nestjs-cls/transactional', () => {
  forEachDialectAndTypeorm(
    (ctx) => {
      let dataSource: DataSource
      let cls: Cls

      beforeEach(async () => {
        dataSource = await ctx.dataSource({ entities: [note] })
        await dataSource.synchronize(true)
        cls = await Cls.start(dataSource)
      })
      afterEach(() => cls.app.close())

      const scenes = async (options: NamedLockServiceOptions) =>
        new Scenes(cls, dataSource, await ctx.service(options, dataSource))

      it('takes part in ambient transactions', async () => {
        const its = await scenes({ ambientTransactions: true })
        await cls.request(async () => {
          expect(await its.fates(its.inTransaction), 'directly under the lock').to.deep.equal(direct)
          expect(await its.fates(its.inDecorated), 'in a decorated method under the lock').to.deep.equal(decorated)
          expect(await its.orders()).to.deep.equal(orders.ambient)
          expect(await its.outside()).to.deep.equal(outside)
          expect(await its.isolation()).to.deep.equal(isolation)
        })
      })

      it('is refused without them', async () => {
        const its = await scenes({})
        await cls.request(async () => {
          expect(await its.fates(its.inTransaction)).to.deep.equal(guarded)
          expect(await its.orders()).to.deep.equal(orders.guarded)
        })
      })

      it('gives its tx, its injected transaction and withTransaction the connection of the lock', async () => {
        const its = await scenes({ ambientTransactions: true })
        const { host, injected } = cls
        const ids = async () => [await its.idOf(host.tx), await its.idOf(injected)]
        const checkIn = (around: typeof cls.request) =>
          around(async () => {
            await its
              .inTransaction(async () => {
                const id = await its.idOf(its.locks.manager)
                expect(await ids()).to.deep.equal([id, id])
                await host.tx.insert('note', { text: 'tx' })
                await injected.insert('note', { text: 'injected' })
                await cls.request(() =>
                  host.withTransaction(async () => {
                    expect(await ids()).to.deep.equal([id, id])
                    expect(host.tx.queryRunner).to.equal(its.locks.manager.queryRunner)
                    await injected.save('note', { text: 'with' })
                  }),
                )
                throw mine
              })
              .catch((error: unknown) => expect(error).to.equal(mine))
            expect(await its.committed()).to.deep.equal([])
          })
        await checkIn((work) => cls.request(work))
        await checkIn((work) => work()) // in no request
      })
    },
    [...typeorms],
    'core',
  )
})
