import * as library from '../src/index.js'

// The sample runs from the sources, without a build. A real application writes:
//
//     import { NamedLockService, WithNamedLock } from 'typeorm-named-lock'

export { NamedLockService } from '../src/index.js'

/**
 * The library's decorator. The run for comparison starts its replicas with LOCKS=off: the same shop, line by line, with
 * a decorator that does nothing.
 */
export const WithNamedLock: typeof library.WithNamedLock =
  process.env.LOCKS === 'off' ? () => () => undefined : library.WithNamedLock
