import type { DataSourceLike } from '../../src/index.js'
import { NamedLock, NamedLockService, NamedLockTimeoutError, WithNamedLock } from '../../src/index.js'

export function fakeDataSource(): DataSourceLike {
  return {
    options: { type: 'mysql' },
    isInitialized: false,
    manager: { query: () => Promise.reject(new Error('no database here')) },
    createQueryRunner: () => {
      throw new Error('no database here')
    },
    runMigrations: () => Promise.resolve([]),
  }
}

class FakeLock extends NamedLock<undefined> {
  readonly keys: readonly string[]
  readonly manager = undefined
  readonly loss = new AbortController()
  isHeld = true
  signalReads = 0

  constructor(readonly names: readonly string[]) {
    super()
    this.keys = names
  }

  get signal(): AbortSignal {
    this.signalReads++
    return this.loss.signal
  }

  verify = () => Promise.resolve(this.isHeld)
  fencingToken = () => Promise.resolve(1n)
  release = () => Promise.resolve()
}

/** A call of a decorated method to its service. */
export interface FakeCall {
  readonly by: 'withLock' | 'transaction'
  readonly name: unknown
  readonly options: Record<string, unknown>
}

/** A service without a database: records the calls of a decorated method, and when it holds its lock. */
export class FakeLockService extends NamedLockService<any> {
  readonly calls: FakeCall[] = []
  /** Makes the next calls time out. */
  isBusy = false
  /** The held lock, and the last one. */
  held: FakeLock | undefined
  last: FakeLock | undefined
  releasedAt: number | undefined

  constructor(dataSource: DataSourceLike = fakeDataSource()) {
    super(dataSource)
  }

  override withLock(name: any, options: any, work?: any): Promise<any> {
    return this.#run({ by: 'withLock', name, options }, work)
  }

  override transaction(name: any, options: any, work?: any): Promise<any> {
    return this.#run({ by: 'transaction', name, options }, (lock: unknown) => work({ isManager: true }, lock))
  }

  async #run(call: FakeCall, work: (lock: FakeLock) => unknown): Promise<unknown> {
    this.calls.push(call)
    if (this.isBusy) throw new NamedLockTimeoutError(`The lock is busy.`)
    const lock = (this.last = this.held = new FakeLock([String(call.name)]))
    try {
      return await work(lock)
    } finally {
      this.held = undefined
      this.releasedAt = performance.now()
    }
  }
}

/** A class with one decorated method, as JavaScript without types may write it. */
export function classWith(
  name: unknown,
  timeout?: unknown,
  options?: unknown,
  body: (...args: any[]) => unknown = async () => 'done',
) {
  class Orders {
    constructor(readonly locks: NamedLockService<any>) {}
    @((WithNamedLock as any)(name, timeout, options))
    pay(...args: unknown[]): any {
      return body.apply(this, args)
    }
  }
  return Orders
}
