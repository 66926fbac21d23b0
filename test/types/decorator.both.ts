// Compiles with and without experimentalDecorators.
import { WithNamedLock, type NamedLockService, type NamedLockDecorator } from 'typeorm-named-lock'
interface Receipt {
  id: number
}
declare const receipt: Receipt
declare const sym: unique symbol
declare function nameOf(o: { id: number }): string
declare const service: NamedLockService
const Locked = (name: string) => WithNamedLock(name, '5s')
const storedByName = WithNamedLock('x')
const storedById = WithNamedLock((id: number) => `${id}`)
const ById = () => WithNamedLock((id: number) => `${id}`)
export const manual: NamedLockDecorator = WithNamedLock('x')

export class Ok {
  private readonly prefix = 'p'
  #secret = 1
  @WithNamedLock('settlement', '10s') async settle(): Promise<void> {}
  @WithNamedLock((id: number) => `order:${id}`, 5000, { reentrant: true }) async pay(
    id: number,
    note: string,
  ): Promise<Receipt> {
    return receipt
  }
  @WithNamedLock((id: number) => [`order:${id}`, 'x']) async payMany(id: number): Promise<Receipt> {
    return receipt
  }
  @WithNamedLock((id: number): string | readonly string[] => (id > 1 ? [`${id}`] : 'x')) async payEither(
    id: number,
  ): Promise<Receipt> {
    return receipt
  }
  @WithNamedLock(['a', 'b'] as const, '2m') async two(): Promise<void> {}
  @WithNamedLock(function (this: Ok, id: number) {
    return this.prefix + id + this.#secret
  })
  async withThis(id: number): Promise<void> {}
  @WithNamedLock((...ids: number[]) => ids.map(String)) async rest(a: number, b: number): Promise<void> {}
  @WithNamedLock((...ids: number[]) => ids.map(String)) async rest2(...a: number[]): Promise<void> {}
  @WithNamedLock((a: string, ...ids: number[]) => ids.map(String)) async rest3(
    a: string,
    b: number,
    c: number,
  ): Promise<void> {}
  @WithNamedLock((id: number, note?: string) => `${id}${note}`) async optName(id: number): Promise<void> {}
  @WithNamedLock((id?: number) => `${id}`) async optBoth(id?: number): Promise<void> {}
  @WithNamedLock((id = 1) => `${id}`) async defaults(id = 1): Promise<void> {}
  @WithNamedLock(({ id }: { id: number }) => `${id}`) async destructured({ id }: { id: number }): Promise<void> {}
  @WithNamedLock(nameOf) async byRef(o: { id: number; more: string }): Promise<void> {}
  @WithNamedLock((id: number | string) => `${id}`) async wider(id: number): Promise<void> {}
  @WithNamedLock((id) => `${id}`) async unannotated(id: number): Promise<void> {}
  @WithNamedLock((o) => o.id) async inferred(o: { id: string }, more: number): Promise<void> {}
  @WithNamedLock((a, b) => [a.toFixed(), b?.toUpperCase() ?? '']) async inferred2(
    a: number,
    b?: string,
  ): Promise<void> {}
  @WithNamedLock((first, ...rest) => [first.trim(), ...rest.map((n) => n.toFixed())]) async inferred3(
    first: string,
    ...rest: number[]
  ): Promise<void> {}
  @WithNamedLock(function () {
    return this.prefix
  })
  async inferredThis(): Promise<void> {}
  @WithNamedLock(function (id) {
    return this.prefix + id.toFixed()
  })
  async inferredThis2(id: number): Promise<void> {}
  @WithNamedLock(function (id) {
    return this.staticPrefix + id.toFixed()
  })
  static async inferredThis3(id: number): Promise<void> {}
  static staticPrefix = 's'
  @WithNamedLock('x', 0, { onBusy: (id) => ({ id: id + 1 }) }) async inferredBusy(id: number): Promise<Receipt> {
    return receipt
  }
  @WithNamedLock('x', 0, {
    locks: (self) => (self.prefix ? service : service),
    signal: (id) => AbortSignal.timeout(id.valueOf()),
  })
  async inferredLocks(id: number): Promise<Receipt> {
    return receipt
  }
  @storedByName async storedName(): Promise<Receipt> {
    return receipt
  }
  @storedById async storedId(id: number): Promise<Receipt> {
    return receipt
  }
  @ById() async composedId(id: number): Promise<Receipt> {
    return receipt
  }
  @WithNamedLock(() => 'x') async zero(id: number): Promise<void> {}
  @WithNamedLock((x: { id: string }) => x.id) async gen<T extends { id: string }>(x: T): Promise<T> {
    return x
  }
  @WithNamedLock('x') async gen2<T>(x: T): Promise<T> {
    return x
  }
  @WithNamedLock(<T extends { id: string }>(x: T) => x.id) async gen3(x: { id: string }): Promise<void> {}
  @WithNamedLock('x') private async priv(): Promise<void> {}
  @WithNamedLock('x') protected async prot(): Promise<void> {}
  @WithNamedLock('x') static async stat(): Promise<void> {}
  @WithNamedLock(function (this: typeof Ok) {
    return this.name
  })
  static async stat2(): Promise<void> {}
  @WithNamedLock((id: number) => `${id}`) static async stat3(id: number): Promise<void> {}
  @WithNamedLock('x') async self(): Promise<this> {
    return this
  }
  @WithNamedLock('x') anyReturn(): any {}
  @WithNamedLock('x') async never(): Promise<never> {
    throw new Error()
  }
  @WithNamedLock('x') async union(): Promise<string | number> {
    return 1
  }
  @WithNamedLock('x') unionOfPromises(): Promise<string> | Promise<number> {
    return Promise.resolve(1)
  }
  @WithNamedLock('x') async explicitThis(this: Ok, n: number): Promise<void> {}
  @WithNamedLock('x') async [sym](): Promise<void> {}
  @WithNamedLock('x') async 'quoted name'(): Promise<void> {}
  @WithNamedLock('x') async ['comp' + 'uted'](): Promise<void> {}
  @Locked('a') @Locked('b') async stacked(): Promise<void> {}
  @WithNamedLock('n', 0, { onBusy: 'skip' }) async skipVoid(): Promise<void> {}
  @WithNamedLock('n', 0, { onBusy: 'skip' }) async skipUndef(): Promise<Receipt | undefined> {
    return receipt
  }
  @WithNamedLock('n', 0, { onBusy: 'skip' }) async skipGen<T>(x: T): Promise<T | undefined> {
    return x
  }
  @WithNamedLock('n', 0, { onBusy: () => receipt }) async busyFn(): Promise<Receipt> {
    return receipt
  }
  @WithNamedLock('n', 0, { onBusy: async (id: number) => receipt }) async busyFn2(
    id: number,
    n: string,
  ): Promise<Receipt> {
    return receipt
  }
  @WithNamedLock('n', 0, { onBusy: () => null }) async busyFn3(): Promise<Receipt | null> {
    return receipt
  }
  @WithNamedLock((id: number) => `n${id}`, 0, {
    onBusy(this: Ok, id: number) {
      return { id }
    },
  })
  async busyFn4(id: number): Promise<Receipt> {
    return receipt
  }
  @WithNamedLock('n', 0, { onBusy: 'throw' }) async busyThrow(): Promise<Receipt> {
    return receipt
  }
  @WithNamedLock('n', 0, { locks: (self: Ok) => service }) async own(): Promise<Receipt> {
    return receipt
  }
  @WithNamedLock('n', undefined, { locks: service, transaction: true, holdAtLeast: '5s', reentrant: undefined })
  async own2(): Promise<Receipt> {
    return receipt
  }
  @WithNamedLock(1n) async big(): Promise<void> {}
  use() {
    return [this.priv, this.prot]
  }
}
export class Generic<E extends { id: number }> {
  prefix = 'x'
  @WithNamedLock((e) => `${e.id.toFixed()}`) async inferredE(e: E): Promise<E> {
    return e
  }
  @WithNamedLock(function (e) {
    return this.prefix + e.id
  })
  async inferredE2(e: E): Promise<E> {
    return e
  }
  @WithNamedLock('x') async plain(e: E): Promise<E> {
    return e
  }
  @WithNamedLock((e: { id: number }) => `${e.id}`) async save(e: E): Promise<E> {
    return e
  }
  @WithNamedLock((es: readonly { id: number }[]) => es.map((e) => `${e.id}`)) async saveAll(e: E[]): Promise<E[]> {
    return e
  }
  @WithNamedLock(function (this: Generic<any>, e: { id: number }) {
    return this.prefix + e.id
  })
  async save2(e: E): Promise<E> {
    return e
  }
  @WithNamedLock('x', 0, { onBusy: 'skip' }) async save3(e: E): Promise<E | undefined> {
    return e
  }
  @WithNamedLock((id: E['id']) => `${id}`) async byId(id: E['id']): Promise<E | undefined> {
    return undefined
  }
  @WithNamedLock('x') async both<K extends keyof E>(e: E, k: K): Promise<E[K]> {
    return e[k]
  }
}
export abstract class Base {
  abstract run(id: number): Promise<void>
}
export class Derived extends Base {
  @WithNamedLock((id: number) => `${id}`) override async run(id: number): Promise<void> {}
}
