// The exact result types of the calls of the service.
import {
  NamedLock,
  NamedLockService,
  parseDuration,
  type AcquireOptions,
  type Duration,
  type LockHolder,
  type TryResult,
} from 'typeorm-named-lock'
import type { DataSource, EntityManager } from 'typeorm'
import { is } from './same-type.js'

interface Receipt {
  id: number
}
declare const dataSource: DataSource
declare const signal: AbortSignal
declare function withSomeSession(use: (session: 'shared' | 'dedicated') => unknown): void

export async function calls() {
  const locks = new NamedLockService(dataSource)
  is<NamedLockService>()(locks, true)
  is<NamedLockService<DataSource>>()(NamedLockService.for(dataSource), true)
  new NamedLockService(dataSource, { timeout: '5s', lease: undefined, namespace: false })
  new NamedLockService(dataSource, { connections: 'own', handOver: { times: 0, for: '1s' }, fencing: { table: 'f' } })

  // withLock infers T from sync and async work
  is<void>()(await locks.withLock('a', async () => {}), true)
  is<number>()(await locks.withLock('a', () => 1), true)
  is<Receipt>()(
    await locks.withLock('a', async (lock) => {
      is<NamedLock<undefined>>()(lock, true)
      return { id: 1 } as Receipt
    }),
    true,
  )
  is<number>()(await locks.withLock('invoice:42', { timeout: '5s' }, async (lock) => lock.name.length), true)
  is<number>()(await locks.withLock('invoice:42', undefined, async () => 1), true)
  is<string>()(
    await locks.withLock(['account:1', 'account:2'], { timeout: Infinity, signal, reentrant: true }, () =>
      Promise.resolve('x'),
    ),
    true,
  )
  is<1 | 'two'>()(
    await locks.withLock(['a'] as const, { timeout: undefined }, async () =>
      Math.random() > 0.5 ? (1 as const) : ('two' as const),
    ),
    true,
  )
  const transfer = async (lock: NamedLock) => lock.names
  is<readonly string[]>()(await locks.withLock(['account:1', 'account:2'], transfer), true)
  is<bigint>()(await locks.withLock(42n, (l) => l.fencingToken()), true)
  is<bigint>()(await locks.withLock(42n, { exactName: true }, (l) => l.fencingToken()), true)

  // permits: lock.permit
  is<number | undefined>()(await locks.withLock('a', { permits: 5 }, (lock) => lock.permit), true)
  await locks.isLocked('a', { permits: 5 })

  // dedicated session: lock.manager
  await locks.withLock('a', { session: 'dedicated' }, async (lock) => {
    is<EntityManager>()(lock.manager, true)
  })
  await locks.withLock('a', { session: 'shared' }, async (lock) => {
    is<undefined>()(lock.manager, true)
  })
  const d = await locks.acquire('a', { session: 'dedicated', timeout: '1m' })
  is<EntityManager>()(d.manager, true)
  withSomeSession(async (session) => {
    const l = await locks.acquire('a', { session })
    is<EntityManager | undefined>()(l.manager, true)
  })

  // tryWithLock
  const r = await locks.tryWithLock('nightly', async () => ({ id: 1 }))
  is<TryResult<{ id: number }>>()(r, true)
  if (r.acquired) is<{ id: number }>()(r.value, true)
  else is<undefined>()(r.value, true)
  const { acquired, value } = await locks.tryWithLock('nightly', { timeout: 0 }, () => 1)
  if (acquired) is<number>()(value, true)
  is<number | undefined>()(value, true)

  // handles
  const lock = await locks.acquire('report', { timeout: '10s', signal })
  is<NamedLock<undefined>>()(lock, true)
  const general: NamedLock = lock
  general.signal.throwIfAborted()
  const maybe = await locks.tryAcquire('report')
  is<NamedLock<undefined> | null>()(maybe, true)
  {
    await using held = await locks.acquire('x')
    await using perhaps = await locks.tryAcquire('x')
    void held
    void perhaps
  }
  {
    await using service = new NamedLockService(dataSource)
    void service
  }
  is<NamedLock | undefined>()(NamedLock.current(), true)
  is<NamedLock>()(NamedLock.assertHeld('x'), true)
  if ((lock as unknown) instanceof NamedLock) lock.isHeld
  is<LockHolder | null>()(await locks.holder('report'), true)
  is<boolean>()(await locks.isLocked('report', { exactName: true }), true)
  locks
    .on('acquired', (e) => {
      is<'server' | 'handover'>()(e.by, true)
    })
    .once('lost', ({ error }) => error.message)

  // durations
  const ok: Duration[] = [0, Infinity, '500ms', '10s', '2m', '1.5h', '1h', `${5}s`]
  const env: string = '10s'
  const options = { timeout: '5s' } satisfies AcquireOptions
  await locks.withLock('a', options, () => ok)
  await locks.withLock('a', { timeout: parseDuration(env) }, () => {})
}
