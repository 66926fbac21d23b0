import { NamedLockConfigurationError } from '../contract/errors.js'
import type { DecoratorSettings } from './decorator-settings.js'
import { callWithLock } from './locked-call.js'

type Method = (this: unknown, ...args: unknown[]) => unknown

/**
 * Applies the decorator under either protocol: standard decorators get a context object, legacy ones a key and a
 * descriptor.
 *
 * @throws NamedLockConfigurationError if the decorated member is not an asynchronous method.
 */
export function decorate(settings: DecoratorSettings, target: unknown, context: unknown, descriptor: unknown): unknown {
  return isStandardContext(context)
    ? decorateStandard(settings, target, context)
    : decorateLegacy(settings, target, context as PropertyKey | undefined, descriptor)
}

interface StandardContext {
  readonly kind: string
  readonly name: PropertyKey | undefined
}

function isStandardContext(context: unknown): context is StandardContext {
  return typeof context === 'object' && context !== null && 'kind' in context
}

function decorateStandard(settings: DecoratorSettings, method: unknown, { kind, name = '' }: StandardContext): Method {
  if (kind !== 'method') throw noMethod(String(name), kind === 'accessor' ? 'an accessor' : `a ${kind}`)
  return withLock(settings, method as Method, name, String(name))
}

function decorateLegacy(
  settings: DecoratorSettings,
  target: unknown,
  key: PropertyKey | undefined,
  given: unknown,
): PropertyDescriptor {
  const owner = typeof target === 'function' ? target : (target as object | undefined)?.constructor
  const label = `${owner?.name || 'class'}${key === undefined ? '' : `.${String(key)}`}`
  if (typeof given === 'number') throw noMethod(label, key === undefined ? 'a constructor parameter' : 'a parameter')
  if (key === undefined) throw noMethod(label, 'a class')
  const descriptor = given as PropertyDescriptor | undefined
  if (descriptor?.get) throw noMethod(label, 'a getter')
  if (descriptor?.set) throw noMethod(label, 'a setter')
  if (typeof descriptor?.value !== 'function') throw noMethod(label, 'a field')
  // Changed in place, because Nest's applyDecorators ignores the result.
  descriptor.value = withLock(settings, descriptor.value as Method, key, label)
  return descriptor
}

/** The replacement of a method: it acquires the lock first, and has the method's name, arity and metadata. */
function withLock(settings: DecoratorSettings, method: Method, key: PropertyKey, label: string): Method {
  const kind = Object.prototype.toString.call(method)
  if (/GeneratorFunction/.test(kind)) {
    throw noMethod(label, kind.includes('Async') ? 'an async generator' : 'a generator')
  }
  // Asynchronous like the method: an AsyncFunction without a prototype, for frameworks that check this.
  const replacement = async function (this: unknown, ...args: unknown[]): Promise<unknown> {
    return callWithLock(settings, method, key, this, args)
  }
  copyProperties(method, replacement)
  copyMetadata(method, replacement)
  return replacement
}

/** Copies name and arity, and the properties that other decorators have set on the function. */
function copyProperties(from: Method, to: Method): void {
  for (const key of Reflect.ownKeys(from)) {
    if (key === 'prototype' || key === 'arguments' || key === 'caller') continue
    Object.defineProperty(to, key, Object.getOwnPropertyDescriptor(from, key)!)
  }
}

interface ReflectMetadata {
  getMetadataKeys?(target: object): unknown[]
  getMetadata(key: unknown, target: object): unknown
  defineMetadata(key: unknown, value: unknown, target: object): void
}

/** Copies the function's metadata, if `reflect-metadata` is loaded. */
function copyMetadata(from: Method, to: Method): void {
  const reflect = Reflect as unknown as ReflectMetadata
  for (const key of reflect.getMetadataKeys?.(from) ?? []) {
    reflect.defineMetadata(key, reflect.getMetadata(key, from), to)
  }
}

function noMethod(label: string, what: string): NamedLockConfigurationError {
  return new NamedLockConfigurationError(`@WithNamedLock is for methods that return a promise: ${label} is ${what}.`)
}
