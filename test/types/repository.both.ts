// Repository classes need nothing but the decorator.
import { Repository } from 'typeorm'
import { WithNamedLock } from 'typeorm-named-lock'

interface Order {
  id: number
  paid: boolean
}

export class OrderRepository extends Repository<Order> {
  @WithNamedLock((id) => `order:${id.toFixed()}`, '5s') async pay(id: number): Promise<void> {
    await this.update(id, { paid: true })
  }

  @WithNamedLock(function (order) {
    return `${this.metadata.tableName}:${order.id}`
  })
  async store(order: Order): Promise<Order> {
    return this.save(order)
  }

  @WithNamedLock('orders', 0, { onBusy: 'skip', locks: (self) => self.locksOf('orders') })
  async sweep(): Promise<number | undefined> {
    return this.count()
  }

  declare locksOf: (name: string) => import('typeorm-named-lock').NamedLockService
}
