import { NamedLockConfigurationError } from '../contract/errors.js'
import { because } from '../contract/troubleshooting.js'
import { processWide } from '../util/process-wide.js'

/** A service as the other services of its DataSource see it. */
export interface Registered {
  readonly service: object
  /** The beginning of its keys. */
  readonly namespace: string | false
  /** It was given by an option, of this service or of one before it. */
  readonly isNamespaceGiven: boolean
  readonly isClosed: boolean
}

/**
 * The services of one DataSource: which of them `NamedLockService.for` returns, and which namespace a service without the option gets.
 * The rule: **no second key without a warning**. Two names are one lock only in one namespace, so where services of a DataSource have
 * several namespaces, every call that would have to choose between them is an error.
 */
class DataSourceServices {
  /** Weak: a service that is dropped without being closed must not live as long as its DataSource. */
  #all: WeakRef<Registered>[] = []
  /** The service that `for` returns while it is open. Written by `choose`. */
  #chosen: Registered | undefined
  /** The service that `for` returns even when it is closed, from `appoint` to `dismiss`. */
  #appointed: object | undefined
  /** The namespaces of all services since the DataSource last had none; cleared by the first one after that. Undefined: the default. */
  readonly #namespaces = new Set<string | false | undefined>()

  get live(): readonly Registered[] {
    this.#all = this.#all.filter((one) => one.deref()?.isClosed === false)
    return this.#all.map((one) => one.deref()).filter((one) => one !== undefined)
  }

  add(registered: Registered): void {
    const { live } = this
    const { namespace, isNamespaceGiven } = registered
    if (live.length === 0) this.#namespaces.clear()
    const other = live.find((one) => one.namespace !== namespace && !one.isNamespaceGiven)
    if (isNamespaceGiven && other) warnOfSecond(namespace, other.namespace)
    this.#namespaces.add(isNamespaceGiven ? namespace : undefined)
    this.#all.push(new WeakRef(registered))
  }

  registeredOf(service: object): Registered {
    return this.live.find((one) => one.service === service) as Registered
  }

  /** `for` returns this service from now on. */
  choose(registered: Registered): void {
    this.#chosen = registered
  }

  /** Forgets all other services: a test double takes the place of the application's. */
  replaceBy(registered: Registered): void {
    this.#all = []
    this.add(registered)
    this.choose(registered)
  }

  appoint(service: object): void {
    this.#appointed = service
  }

  dismiss(service: object): void {
    if (this.#appointed === service) this.#appointed = undefined
  }

  /** The service that `for` returns; undefined when a new one has to be made. */
  find(byDefault: object | undefined): object | undefined {
    if (this.#appointed) return this.#appointed
    const { live } = this
    if (this.#chosen?.isClosed) this.#chosen = undefined
    const namespaces = new Set(live.map(({ namespace }) => namespace))
    if (namespaces.size <= 1) return this.#chosen?.service ?? live[0]?.service
    if (live.some(({ service }) => service === byDefault)) return byDefault
    throw new NamedLockConfigurationError(
      because(
        'namespaces',
        `The NamedLockServices of this DataSource have several namespaces (${list(namespaces)}): NamedLockService.for(dataSource), and a decorated ` +
          'method that finds its service by the DataSource, cannot choose one. Locks of different namespaces do not exclude each other. Give all services ' +
          'the same namespace; or name the service: by the option locks: (self) => … of @WithNamedLock, by a property of the instance that is a ' +
          'NamedLockService, or by NamedLockService.setDefault(service).',
      ),
    )
  }

  /** The namespace of a service without the option: undefined is the default. */
  get namespace(): string | false | undefined {
    const { live } = this
    const given = live.find((one) => one.isNamespaceGiven)
    const namespaces = new Set(live.map(({ namespace }) => namespace))
    if (live.length > 0 && namespaces.size === 1) return given?.namespace
    if (live.length === 0 && this.#namespaces.size <= 1) return [...this.#namespaces][0]
    throw new NamedLockConfigurationError(
      because(
        'namespaces',
        `namespace: the NamedLockServices of this DataSource have several (${list(live.length > 0 ? namespaces : this.#namespaces)}), so a service ` +
          'without the option could have the wrong one, and locks of different namespaces do not exclude each other. Give it the one that is meant.',
      ),
    )
  }
}

const services = processWide('services', () => new WeakMap<object, DataSourceServices>())

/** The services of that DataSource. */
export function servicesOf(dataSource: object): DataSourceServices {
  let all = services.get(dataSource)
  if (!all) services.set(dataSource, (all = new DataSourceServices()))
  return all
}

/**
 * Makes an application's service the DataSource's until it is dismissed. A call of `for` after the service was closed returns the closed
 * one, instead of a new one that the application does not close.
 */
export function appointService(dataSource: object, service: object): void {
  servicesOf(dataSource).appoint(service)
}

export function dismissService(dataSource: object, service: object): void {
  servicesOf(dataSource).dismiss(service)
}

function warnOfSecond(given: string | false, other: string | false): void {
  process.emitWarning(
    `A NamedLockService with ${list([given])} was made on a DataSource that has one without the option, with ` +
      `${list([other])}: their locks do not exclude each other. Give both the namespace that is meant.`,
    'NamedLockWarning',
  )
}

function list(namespaces: Iterable<string | false | undefined>): string {
  return [...namespaces]
    .map((one) => (one === undefined ? 'the default' : one === false ? 'namespace: false' : `namespace: '${one}'`))
    .join(', ')
}
