// methods without return type annotations: no circularity
import { WithNamedLock, NamedLock, type NamedLockService } from 'typeorm-named-lock'
export class Orders {
  constructor(
    private readonly locks: NamedLockService,
    private readonly prefix = 'o',
  ) {}
  label(id: number) {
    return this.prefix + id
  }
  @WithNamedLock((id) => `order:${id.toFixed()}`, '5s') async pay(id: number) {
    return this.other(id)
  }
  @WithNamedLock(function (id) {
    return this.label(id)
  })
  async other(id: number) {
    return { id, again: await this.third(id) }
  }
  @WithNamedLock('x', 0, { onBusy: 'skip' }) async third(id: number) {
    return id > 1 ? id : undefined
  }
  @WithNamedLock('x', 0, { onBusy: () => 5 }) async fourth(id: number) {
    return id + 1
  }
  @WithNamedLock(
    function (id) {
      return `${this.constructor.name}${id}`
    },
    0,
    { locks: (self) => self.locks },
  )
  async fifth(id: number) {
    return this.locks.withLock('y', (l) => l.name + NamedLock.current()?.name)
  }
  @WithNamedLock((id) => `f:${id.toFixed()}`) async recursive(id: number): Promise<number> {
    return id ? this.recursive(id - 1) : 0
  }
  // @ts-expect-error not async, and no annotation
  @WithNamedLock('x') sync(id: number) {
    return id
  }
}
export const r: Promise<{ id: number; again: number | undefined }> = new Orders(null!).pay(1)
