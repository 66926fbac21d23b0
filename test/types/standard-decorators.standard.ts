// Also run by test/unit/with-named-lock-standard.test.ts, compiled as here: with standard decorators.
import { WithNamedLock, type NamedLockService } from 'typeorm-named-lock'

export class Orders {
  readonly prefix = 'order'
  static locks: NamedLockService<any>

  constructor(readonly locks: NamedLockService<any>) {}

  @WithNamedLock(
    function (id) {
      return `${this.prefix}:${id}`
    },
    '5s',
    { reentrant: true },
  )
  async pay(id: number, note = 'none'): Promise<string> {
    return `${this.prefix} ${id} ${note}`
  }

  @WithNamedLock('hidden') async #hidden(of: number): Promise<number> {
    return of * 2
  }
  hidden(of: number): Promise<number> {
    return this.#hidden(of)
  }
  get hiddenMethod(): (of: number) => Promise<number> {
    return this.#hidden
  }

  @WithNamedLock('static') static async every(): Promise<unknown> {
    return this
  }

  @WithNamedLock('a') @WithNamedLock('b') async stacked(): Promise<void> {}

  @WithNamedLock('busy', 0, { onBusy: 'skip' }) async skipped(): Promise<string | undefined> {
    return 'ran'
  }
}

/** Each defines an invalid class. */
export const mistakes: readonly [message: RegExp, define: () => unknown][] = [
  [
    /total is a getter/,
    () =>
      class {
        // @ts-expect-error getter
        @WithNamedLock('x') get total() {
          return Promise.resolve(1)
        }
      },
  ],
  [
    /total is a setter/,
    () =>
      class {
        // @ts-expect-error setter
        @WithNamedLock('x') set total(_value: number) {}
      },
  ],
  [
    /total is an accessor/,
    () =>
      class {
        // @ts-expect-error accessor
        @WithNamedLock('x') accessor total = async () => 1
      },
  ],
  [
    /total is a field/,
    () =>
      class {
        // @ts-expect-error field
        @WithNamedLock('x') total = async () => 1
      },
  ],
  [
    /#total is a field/,
    () =>
      class {
        // @ts-expect-error #private field
        @WithNamedLock('x') #total = async () => 1
        use() {
          return this.#total
        }
      },
  ],
  [
    /Whole is a class/,
    () => {
      // @ts-expect-error class
      @WithNamedLock('x')
      class Whole {}
      return Whole
    },
  ],
  [
    /total is an async generator/,
    () =>
      class {
        // @ts-expect-error async generator
        @WithNamedLock('x') async *total() {
          yield 1
        }
      },
  ],
]
