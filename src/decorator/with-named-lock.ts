import { decorate } from './decorate.js'
import { readDecoratorOptions } from './decorator-settings.js'
import type { Duration } from '../contract/duration.js'
import type { AnyMethod, NameOfMethod, NamedLockDecorator, WithNamedLockOptions } from './decorator-options.js'

/**
 * Runs an asynchronous method while its class's NamedLockService holds a lock.
 *
 * Works as a legacy decorator (`experimentalDecorators`) and as a standard one, on instance, static and (standard only)
 * `#private` methods. The method keeps its name, its arity and its Reflect metadata, so it stacks with other decorators.
 *
 * @param name One name, several (all or none), or a function of the method's `this` and arguments that returns them.
 * @param timeout How long a call waits for the lock. Default: the service's `timeout`, or 0 with `onBusy`.
 * @throws A {@link NamedLockConfigurationError}: At once: invalid options, or the decorated member is not a method.
 * @throws An {@link InvalidLockNameError}: At once: the name cannot be the name of a lock.
 *
 * @example
 * ```ts
 * class OrderService {
 *   constructor(private readonly locks: NamedLockService) {}
 *
 *   ;@WithNamedLock((id) => `order:${id}`, '5s')
 *   async pay(id: number): Promise<void> {
 *     await charge()
 *   }
 * }
 * ```
 */
export function WithNamedLock<M extends AnyMethod, This>(
  name: NameOfMethod<M, This>,
  timeout?: Duration,
  options?: WithNamedLockOptions<M, This>,
): NamedLockDecorator<M, This> {
  const settings = readDecoratorOptions(name, timeout, options)
  // TypeScript infers M and This from the decorated method, the contextual type of a decorator call.
  return decorate.bind(undefined, settings) as NamedLockDecorator<M, This>
}
