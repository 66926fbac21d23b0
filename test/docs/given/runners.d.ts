/* What the tests in the examples use of jest and vitest, which are no packages of this project. */

interface FakeTimers {
  useFakeTimers(): void
  useRealTimers(): void
  advanceTimersByTimeAsync(ms: number): Promise<unknown>
}
interface Expected {
  readonly resolves: { toBe(value: unknown): Promise<void> }
  readonly rejects: { toThrow(error: new (...args: never) => Error): Promise<void> }
}

declare module '@jest/globals' {
  export { afterEach, beforeEach, it as test } from 'mocha'
  export const jest: FakeTimers
  export function expect(value: unknown): Expected
}

declare module 'vitest' {
  export { afterEach, beforeEach, it as test } from 'mocha'
  export const vi: FakeTimers
  export function expect(value: unknown): Expected
}
