import { MetadataScanner, type ModulesContainer } from '@nestjs/core'
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

const leading = processWide('whileLeader', () => new WeakMap<object, Led>())
/** Methods of instances that campaign already: a module may be imported twice. */
const campaigning = new WeakMap<object, Set<string>>()

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
  return (_target, _key, descriptor) => {
    if (typeof descriptor.value !== 'function') {
      throw new NamedLockConfigurationError('@WhileLeader is for methods of providers.')
    }
    leading.set(descriptor.value, { name, options: rest, dataSource })
  }
}

/** Begins the campaigns of all providers and controllers for one service. */
export function campaignAll(
  modules: ModulesContainer,
  service: NamedLockService,
  dataSource: string | undefined,
): void {
  const scanner = new MetadataScanner()
  for (const module of modules.values()) {
    for (const { instance, isNotMetatype } of [...module.providers.values(), ...module.controllers.values()]) {
      if (isNotMetatype || typeof instance !== 'object' || instance === null) continue
      const prototype = Object.getPrototypeOf(instance) as Record<string, unknown> | null
      if (!prototype || prototype === Object.prototype) continue
      for (const key of scanner.getAllMethodNames(prototype))
        campaign(instance, key, prototype[key], service, dataSource)
    }
  }
}

function campaign(
  instance: object,
  key: string,
  method: unknown,
  service: NamedLockService,
  dataSource: string | undefined,
): void {
  const led = typeof method === 'function' ? leading.get(method) : undefined
  if (!led || (led.dataSource ?? 'default') !== (dataSource ?? 'default')) return
  const known = campaigning.get(instance) ?? new Set<string>()
  if (known.has(key)) return
  campaigning.set(instance, known.add(key))
  service.lead(led.name, led.options, (term) => (instance as Record<string, LeaderMethod>)[key]?.(term))
}
