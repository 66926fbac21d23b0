// Mistakes that the compiler finds, with and without experimentalDecorators.
import { WithNamedLock } from 'typeorm-named-lock'

interface Receipt {
  id: number
}
declare const receipt: Receipt

export class Bad {
  // @ts-expect-error the name function wants a number
  @WithNamedLock((id: number) => `order:${id}`) async pay(id: string): Promise<void> {}
  // @ts-expect-error it wants more than the method has
  @WithNamedLock((id: number, n: string) => `order:${id}`) async pay2(id: number): Promise<void> {}
  // @ts-expect-error it does not take undefined
  @WithNamedLock((id: number) => `order:${id}`) async pay3(id?: number): Promise<void> {}
  // @ts-expect-error it does not take a string
  @WithNamedLock((id: number) => `order:${id}`) async pay3b(id: number | string): Promise<void> {}
  // @ts-expect-error rest of the wrong type
  @WithNamedLock((...id: number[]) => `order:${id}`) async pay4(id: number, n: string): Promise<void> {}
  // @ts-expect-error a name is not a number
  @WithNamedLock((id: number) => id) async pay5(id: number): Promise<void> {}
  // @ts-expect-error nor a promise
  @WithNamedLock(async (id: number) => 'x') async pay6(id: number): Promise<void> {}
  // @ts-expect-error nor a number
  @WithNamedLock(42) async pay7(id: number): Promise<void> {}
  // @ts-expect-error sync
  @WithNamedLock('x') sync(): number {
    return 1
  }
  // @ts-expect-error sync void
  @WithNamedLock('x') syncVoid(): void {}
  // @ts-expect-error async generator
  @WithNamedLock('x') async *agen(): AsyncGenerator<number> {}
  // @ts-expect-error maybe a promise
  @WithNamedLock('x') maybe(): number | Promise<number> {
    return 1
  }
  // @ts-expect-error property
  @WithNamedLock('x') prop = async () => {}
  // @ts-expect-error static property
  @WithNamedLock('x') static sprop = async () => {}
  // @ts-expect-error getter
  @WithNamedLock('x') get gett(): Promise<number> {
    return Promise.resolve(1)
  }
  // @ts-expect-error skip needs | undefined
  @WithNamedLock('n', 0, { onBusy: 'skip' }) async skip1(): Promise<Receipt> {
    return receipt
  }
  // NOT an error, though it should be: a generic result
  @WithNamedLock('n', 0, { onBusy: 'skip' }) async skip2<T>(x: T): Promise<T> {
    return x
  }
  // @ts-expect-error a thenable that is no Promise
  @WithNamedLock('x') like(): PromiseLike<number> {
    return Promise.resolve(1)
  }
  // @ts-expect-error busy value
  @WithNamedLock('n', 0, { onBusy: () => 'x' }) async busyFn(): Promise<Receipt> {
    return receipt
  }
  // @ts-expect-error busy arguments
  @WithNamedLock('n', 0, { onBusy: (id: string) => receipt }) async busyFn2(id: number): Promise<Receipt> {
    return receipt
  }
  // @ts-expect-error this
  @WithNamedLock(function (this: { foo: string }) {
    return this.foo
  })
  async thiss(): Promise<void> {}
  // @ts-expect-error unknown option
  @WithNamedLock('n', 0, { onBusi: 'skip', reentrant: true }) async excess(): Promise<void> {}
  // @ts-expect-error unknown onBusy
  @WithNamedLock('n', 0, { onBusy: 'ignore' }) async badLit(): Promise<void> {}
  // @ts-expect-error duration
  @WithNamedLock('n', '5 parsecs') async dur(): Promise<void> {}
  // @ts-expect-error o is inferred, and has no name
  @WithNamedLock((o) => o.name) async un(o: { id: string }): Promise<void> {}
  // prettier-ignore
  // @ts-expect-error this is inferred, and has no name
  @WithNamedLock(function () { return this.name }) async un2(): Promise<void> {}
}
// @ts-expect-error not for classes
@WithNamedLock('x')
export class Klass {}
