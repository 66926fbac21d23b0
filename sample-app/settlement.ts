import { In, type DataSource } from 'typeorm'
import { bank } from './bank.js'
import { Order } from './entities/order.js'
import { Payout } from './entities/payout.js'
import { NamedLockService, WithNamedLock } from './named-lock.js'

/** Pays the organisers for what was sold. It is on the schedule of every replica; whoever comes first does the work. */
export class Settlement {
  constructor(
    private readonly dataSource: DataSource,
    private readonly locks: NamedLockService,
    private readonly replica: number,
  ) {}

  /** How many orders were settled; undefined when a settlement is under way already, in whatever replica. */
  @WithNamedLock('settlement', 0, { onBusy: 'skip' })
  async settle(): Promise<number | undefined> {
    const orders = await this.dataSource.manager.find(Order, { where: { settled: false }, order: { id: 'ASC' } })
    if (orders.length === 0) return 0

    await bank.payOut(orders)
    const ids = orders.map((order) => order.id)
    await this.dataSource.transaction(async (manager) => {
      await manager.insert(
        Payout,
        ids.map((orderId) => ({ orderId, replica: this.replica })),
      )
      await manager.update(Order, { id: In(ids) }, { settled: true })
    })
    return orders.length
  }
}
