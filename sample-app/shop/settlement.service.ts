import { Inject, Injectable } from '@nestjs/common'
import { Cron, CronExpression } from '@nestjs/schedule'
import { InjectRepository } from '@nestjs/typeorm'
import { In, Repository } from 'typeorm'
import { Order } from './entities/order.js'
import { Payout } from './entities/payout.js'
import { NamedLockService, WithNamedLock } from './named-lock.js'
import { bank } from './outside.js'
import { settings } from './settings.js'

/** How often the settlement was due in this replica, by result. */
export interface SettlementRuns {
  readonly done: number
  readonly skipped: number
}

/** Pays the organisers for the tickets sold. */
@Injectable()
export class SettlementService {
  readonly runs = { done: 0, skipped: 0 }

  constructor(
    @InjectRepository(Order) private readonly orders: Repository<Order>,
    @InjectRepository(Payout) private readonly payouts: Repository<Payout>,
    @Inject(NamedLockService) private readonly locks: NamedLockService,
  ) {}

  /** Due in every replica at the same moment. */
  @Cron(CronExpression.EVERY_SECOND)
  async settleOnSchedule(): Promise<void> {
    const settled = await this.settle()
    this.runs[settled === undefined ? 'skipped' : 'done']++
  }

  /**
   * The first replica to get the lock settles the orders; the others skip it. The lock is held for at least 200 ms, so
   * that replicas with slightly skewed clocks skip it too.
   *
   * @returns The number of settled orders; undefined if a settlement was already running in any replica.
   */
  @WithNamedLock('settlement', 0, { onBusy: 'skip', holdAtLeast: '200ms', transaction: true })
  async settle(): Promise<number | undefined> {
    const orders = await this.orders.find({ where: { paid: true, settled: false }, order: { id: 'ASC' } })
    if (orders.length === 0) return 0

    await bank.payOut(orders)
    const ids = orders.map((order) => order.id)
    await this.payouts.insert(ids.map((orderId) => ({ orderId, replica: settings.replica })))
    await this.orders.update({ id: In(ids) }, { settled: true })
    return orders.length
  }
}
