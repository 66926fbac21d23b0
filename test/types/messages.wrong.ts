// What the compiler says of wrong calls: the first line of each error has the reason. `messages` in types.test.ts has the lines.
import { NamedLockService, WithNamedLock } from 'typeorm-named-lock'

declare const locks: NamedLockService

export class Wrong {
  @WithNamedLock('report') synchronous(): number {
    return 1
  }
  @WithNamedLock((id: string) => `order:${id}`) async otherArgument(id: number): Promise<void> {}
  @WithNamedLock('report', '5 minutes') async duration(): Promise<void> {}
  @WithNamedLock('report', 0, { onBusy: 'skip' }) async skipped(): Promise<number> {
    return 1
  }
}

export const duration = () => locks.withLock('report', { timeout: '5 minutes' }, () => {})
export const variable = () => locks.ping(process.env.TIMEOUT)
export const restart = () => locks.lead('report', { restart: 'soon' }, async () => {})

export const withoutWork = () => locks.withLock('report', { timeout: '5s' })
export const withoutWorkInTransaction = () => locks.transaction('report', { isolation: 'SERIALIZABLE' })
