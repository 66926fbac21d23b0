import type { ModulesContainer } from '@nestjs/core'
import { NamedLockConfigurationError } from '../contract/errors.js'
import { readLeadOptions } from '../lead/lead-settings.js'
import type { LeadOptions } from '../lead/leadership.js'
import { checkName } from '../names/lock-name.js'
import type { LeaderTerm } from '../scope/leader-term.js'
import type { NamedLockService } from '../service/named-lock-service.js'
import { processWide } from '../util/process-wide.js'
import { show } from '../util/show.js'

/** The options of `@WhileLeader`. */
export interface WhileLeaderOptions extends LeadOptions {
  /** The DataSource's name, as given to TypeOrmModule. Default: the DataSource without a name. */
  dataSource?: string | undefined
}

type LeaderMethod = (this: any, term: LeaderTerm) => Promise<void>

interface Led {
  readonly name: string
  readonly options: LeadOptions
  readonly dataSource: string | undefined
}

/** By the prototype of the class, then by the method's name: other decorators of the method may replace the function. */
const leading = processWide('whileLeader', () => new WeakMap<object, Map<PropertyKey, Led>>())
/** Methods of instances that campaign already, by application: a module may be imported twice. */
const campaigning = new WeakMap<ModulesContainer, WeakMap<object, Set<PropertyKey>>>()

/**
 * Runs a provider's method while this process leads: it campaigns for the lock of that name from the application's bootstrap to its shutdown, as
 * `locks.lead` does. The method ends when `term.signal` is aborted.
 *
 * @throws A {@link NamedLockConfigurationError}: Wrong options, when the class is defined.
 *
 * @example
 * ```ts
 * class Scheduler {
 *   ;@WhileLeader('scheduler')
 *   async run(term: LeaderTerm): Promise<void> {
 *     while (!term.signal.aborted) await tick(term.signal)
 *   }
 * }
 * ```
 */
export function WhileLeader(
  name: string,
  options: WhileLeaderOptions = {},
): (target: object, key: string | symbol, descriptor: TypedPropertyDescriptor<LeaderMethod>) => void {
  checkName(name)
  if (typeof options !== 'object' || options === null) {
    throw new NamedLockConfigurationError(`@WhileLeader: the options must be an object; got ${show(options)}.`)
  }
  const { dataSource, ...rest } = options
  readLeadOptions(rest, '@WhileLeader')
  return (target, key, descriptor) => {
    if (typeof descriptor.value !== 'function' || typeof target === 'function') {
      throw new NamedLockConfigurationError('@WhileLeader is for methods of providers.')
    }
    const methods = leading.get(target) ?? new Map<PropertyKey, Led>()
    leading.set(target, methods.set(key, { name, options: rest, dataSource }))
  }
}

/**
 * Begins the campaigns of all providers and controllers for one service, however the provider was made: by a class, a factory or a value.
 *
 * @throws NamedLockConfigurationError for a provider without an instance that lasts from the bootstrap to the shutdown.
 */
export function campaignAll(
  modules: ModulesContainer,
  service: NamedLockService,
  dataSource: string | undefined,
): void {
  for (const module of modules.values()) {
    for (const wrapper of [...module.providers.values(), ...module.controllers.values()]) {
      const instance: unknown = wrapper.instance
      if (typeof instance !== 'object' || instance === null) continue
      for (const [key, led] of methodsOf(instance)) {
        if ((led.dataSource ?? 'default') !== (dataSource ?? 'default')) continue
        if (wrapper.isTransient || !wrapper.isDependencyTreeStatic()) throw shortLived(instance, key)
        if (isFirst(modules, instance, key)) campaign(instance, key, led, service)
      }
    }
  }
}

/** The decorated methods of an instance. A method of a class hides the one that it overrides, decorated or not. */
function methodsOf(instance: object): ReadonlyMap<PropertyKey, Led> {
  const found = new Map<PropertyKey, Led>()
  const hidden = new Set<PropertyKey>()
  for (let level = above(instance); level && level !== Object.prototype; level = above(level)) {
    for (const [key, led] of leading.get(level) ?? []) if (!hidden.has(key)) found.set(key, led)
    for (const key of Reflect.ownKeys(level)) hidden.add(key)
  }
  return found
}

function above(object: object): object | null {
  return Object.getPrototypeOf(object) as object | null
}

/** Whether the method does not campaign yet in this application. Another one may get the same instance, as a value. */
function isFirst(modules: ModulesContainer, instance: object, key: PropertyKey): boolean {
  const all = campaigning.get(modules) ?? new WeakMap<object, Set<PropertyKey>>()
  campaigning.set(modules, all)
  const known = all.get(instance) ?? new Set<PropertyKey>()
  all.set(instance, known)
  const isKnown = known.has(key)
  known.add(key)
  return !isKnown
}

function campaign(instance: object, key: PropertyKey, led: Led, service: NamedLockService): void {
  service.lead(led.name, led.options, (term) => (instance as Record<PropertyKey, LeaderMethod>)[key]?.(term))
}

function shortLived(instance: object, key: PropertyKey): NamedLockConfigurationError {
  return new NamedLockConfigurationError(
    `@WhileLeader: the provider of ${instance.constructor.name}.${String(key)} is transient, or request-scoped (itself or by what it injects), so no instance ` +
      'of it lasts from the bootstrap to the shutdown. Move the method to a provider with the default scope.',
  )
}
