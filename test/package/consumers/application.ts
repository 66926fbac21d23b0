// An application that has the package from the registry. compilers.test.ts compiles and runs it.
import { DataSource } from 'typeorm'
import { NamedLock, NamedLockService, NamedLockTimeoutError, WithNamedLock, type LockInfo } from 'typeorm-named-lock'
import { InMemoryNamedLockService } from 'typeorm-named-lock/testing'
import { instrumentNamedLocks } from 'typeorm-named-lock/opentelemetry'

class OrderService {
  readonly #locks: NamedLockService

  constructor(
    locks: NamedLockService,
    private readonly prefix: string,
  ) {
    this.#locks = locks
  }

  @WithNamedLock((id) => `order:${id.toFixed()}`, '5s', { locks: (self) => self.locks })
  async pay(id: number, note?: string): Promise<string> {
    return `${this.prefix} ${id} ${note ?? '-'} ${String(NamedLock.assertHeld(`order:${id}`).isHeld)}`
  }

  @WithNamedLock('orders', 0, { onBusy: 'skip', locks: (self) => self.locks })
  async sweep(): Promise<number | undefined> {
    return 1
  }

  get locks(): NamedLockService {
    return this.#locks
  }
}

class Mistakes {
  // @ts-expect-error the method returns no promise
  @WithNamedLock('x')
  sync(): number {
    return 1
  }

  // @ts-expect-error the name function takes something else
  @WithNamedLock((id: Date) => id.toISOString())
  async wrong(id: number): Promise<void> {
    await Promise.resolve(id)
  }
}

async function main(): Promise<void> {
  const locks: NamedLockService = new InMemoryNamedLockService(new DataSource({ type: 'mysql' }))
  const stop: () => void = instrumentNamedLocks(locks)
  const orders = new OrderService(locks, 'paid')
  console.log(await orders.pay(7), await orders.pay(8, 'cash'), await orders.sweep())

  const lock: NamedLock | null = await locks.tryAcquire('import')
  const listed: readonly LockInfo[] = await locks.list()
  const busy = await locks.acquire('import', { timeout: 0 }).catch((error: unknown) => error)
  console.log(listed.length, busy instanceof NamedLockTimeoutError && busy.code)
  await lock?.release()
  const { acquired, value } = await locks.tryWithLock(['a', 'b'], { timeout: '1s' }, ({ names }) => names.length)
  console.log(acquired, value satisfies number | undefined)
  stop()
  await locks.close()
}

void main().catch((error: unknown) => {
  console.error(error, Mistakes)
  process.exit(1)
})
