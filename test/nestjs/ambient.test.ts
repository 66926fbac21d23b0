import { Inject, Injectable } from '@nestjs/common'
import { InjectRepository, TypeOrmModule } from '@nestjs/typeorm'
import { expect } from 'chai'
import { Column, Entity, PrimaryColumn, Repository } from 'typeorm'
import {
  NamedLockOutsideTransactionError,
  NamedLockService,
  WithNamedLock,
  type NamedLockServiceOptions,
} from '../../src/index.js'
import { NamedLockModule } from '../../src/nestjs/index.js'
import { forEachServer, type Conformance } from '../support/conformance.js'
import { rejection } from '../support/rejection.js'
import { database, withApp } from './support/nest-app.js'

@Entity('goods')
class Goods {
  @PrimaryColumn('int')
  id!: number

  @Column('int')
  left!: number
}

const soldOut = new Error('sold out')

/** What a Nest user writes first: an injected repository, and no word of the transaction's EntityManager. */
@Injectable()
class Shop {
  constructor(
    @Inject(NamedLockService) readonly locks: NamedLockService,
    @InjectRepository(Goods) readonly goods: Repository<Goods>,
  ) {}

  @WithNamedLock((id: number) => `goods:${id}`, '5s', { transaction: true })
  async take(id: number, fails: boolean): Promise<number> {
    const one = await this.goods.findOneByOrFail({ id })
    one.left--
    await this.goods.save(one)
    if (fails) throw soldOut
    return one.left
  }
}

describe('an injected repository in a method with transaction: true', () => {
  forEachServer((ctx) => {
    it('takes part in the transaction: 40 stay 40 when the method throws', () =>
      withShop(ctx, {}, async (shop, left) => {
        expect(await rejection(shop.take(1, true))).to.equal(soldOut)
        expect(await left()).to.equal(40)
        expect(await shop.take(1, false)).to.equal(39)
        expect(await left()).to.equal(39)
      }))

    it('is an error that names the ways out, where the module says so', () =>
      withShop(ctx, { ambientTransactions: false }, async (shop, left) => {
        await rejection(shop.take(1, false), NamedLockOutsideTransactionError)
        expect(await left()).to.equal(40)
      }))
  })
})

/** An application with 40 goods. */
async function withShop(
  ctx: Conformance,
  options: NamedLockServiceOptions,
  use: (shop: Shop, left: () => Promise<number>) => Promise<void>,
): Promise<void> {
  const imports = [
    database(ctx, { entities: [Goods], synchronize: true, dropSchema: true }),
    TypeOrmModule.forFeature([Goods]),
    NamedLockModule.forRoot(options),
  ]
  await withApp({ imports, providers: [Shop] }, async (app) => {
    const shop = app.get(Shop)
    await shop.goods.insert({ id: 1, left: 40 })
    await use(shop, async () =>
      Number(await ctx.outsider.value(`SELECT ${ctx.sql('`left`', '"left"')} FROM ${ctx.database}.goods`)),
    )
  })
}
