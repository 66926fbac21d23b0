import { rejects } from 'node:assert/strict'
import { mock } from 'node:test'
import { DataSource } from 'typeorm'
import { NamedLockService, NamedLockTimeoutError } from 'typeorm-named-lock'
import { InMemoryNamedLockService, MemoryServer } from 'typeorm-named-lock/testing'
class Order {}
class OrderService {
  constructor(readonly locks: NamedLockService) {}
  async settle(): Promise<void> {}
}
declare const locks: InMemoryNamedLockService
declare const orders: OrderService
