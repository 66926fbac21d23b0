import { WithNamedLock } from 'typeorm-named-lock'
export class Std {
  @WithNamedLock('x') async #hidden(): Promise<void> {}
  run() {
    return this.#hidden()
  }
}
export class Std2 {
  ov(id: number): Promise<number>
  ov(id: string): Promise<string>
  @WithNamedLock((id: number | string) => `${id}`) async ov(id: number | string): Promise<any> {}
  ov2(id: number): Promise<number>
  ov2(id: string): Promise<string>
  // @ts-expect-error checked against the implementation
  @WithNamedLock((id: number) => `${id}`) async ov2(id: number | string): Promise<any> {}
  // @ts-expect-error auto-accessor
  @WithNamedLock('x') accessor acc = async () => {}
  // @ts-expect-error #private property
  @WithNamedLock('x') #p = async () => {}
}
export const Anonymous = class {
  @WithNamedLock('x') async m(): Promise<void> {}
}
