import { AssertionError } from 'chai'

type ErrorClass<E extends Error> = abstract new (...args: never[]) => E

/** The error that `promise` rejects with, which must be of `type`. */
export async function rejection<E extends Error = Error>(
  promise: PromiseLike<unknown>,
  type: ErrorClass<E> = Error as unknown as ErrorClass<E>,
): Promise<E> {
  let value: unknown
  try {
    value = await promise
  } catch (error) {
    if (error instanceof type) return error
    throw new AssertionError(`expected a ${type.name}, got ${describe(error)}`)
  }
  throw new AssertionError(`expected a ${type.name}, but it resolved to ${String(value)}`)
}

/** The reason of the rejection, an error or not. */
export async function reasonOf(promise: PromiseLike<unknown>): Promise<unknown> {
  let value: unknown
  try {
    value = await promise
  } catch (error) {
    return error
  }
  throw new AssertionError(`expected a rejection, but it resolved to ${String(value)}`)
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? String(error)) : `the non-error ${String(error)}`
}
