import type { EntityManager } from 'typeorm'
import type { Conformance } from '../../support/conformance.js'
import type { DataSource } from '../../support/typeorms.js'
import { until } from '../../support/until.js'
import type { Stock } from './stock.js'

let isOver: Promise<void> = Promise.resolve()

/** Resolves when no other transaction holds the rows any more. Without that, the next try may meet it again, in one more deadlock. */
export function rowsAreFree(): Promise<void> {
  return isOver
}

/**
 * Makes a transaction the victim of a deadlock of two row locks: it locks row 0 and then row 1, while another transaction does the
 * reverse. InnoDB rolls back the transaction that has written less, PostgreSQL the one that has waited for its deadlock_timeout first. The
 * other transaction is rolled back in the end.
 *
 * @param second Locks row 1 with the victim's manager, and sees the deadlock.
 */
export async function fallVictim(
  ctx: Conformance,
  stock: Stock,
  others: DataSource,
  manager: EntityManager,
  second: (manager: EntityManager) => Promise<unknown> = (victim) => stock.add(victim, 1),
): Promise<void> {
  await rowsAreFree()
  const other = others.createQueryRunner()
  await other.startTransaction()
  let reverse: Promise<unknown> | undefined
  let pid = 0
  try {
    if (ctx.isPostgres) {
      await manager.query(`SET LOCAL deadlock_timeout = '10ms'`)
      await other.query(`SET LOCAL deadlock_timeout = '10s'`)
      ;[{ pid }] = await other.query('SELECT pg_backend_pid() AS pid')
    }
    await other.query(`UPDATE ${stock.table} SET n = n + 100 WHERE id > 0`)
    await stock.add(manager, 0)
    reverse = stock.add(other.manager, 0).catch(() => undefined)
    // Without a circle when its deadlock_timeout is over, the victim would wait until the other one detects it.
    if (ctx.isPostgres) await until('the other transaction to wait', () => isWaiting(ctx, pid))
    await second(manager)
  } finally {
    // It goes on only when the victim has released row 0, which may be after its work: nothing waits for it here.
    isOver = (reverse ?? Promise.resolve()).then(async () => {
      await other.rollbackTransaction()
      await other.release()
    })
  }
}

async function isWaiting({ outsider }: Conformance, pid: number): Promise<boolean> {
  const waits = `SELECT count(*) FROM pg_stat_activity WHERE pid = ${pid} AND wait_event_type = 'Lock'`
  return Number(await outsider.value(waits)) === 1
}
