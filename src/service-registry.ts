/** Which service `NamedLockService.for` gives for a DataSource. */
const services = new WeakMap<object, object>()
/** Those that are given even when they are closed. */
const appointed = new WeakSet<object>()

export function serviceOf(dataSource: object): object | undefined {
  return services.get(dataSource)
}

export function registerService(dataSource: object, service: object): void {
  services.set(dataSource, service)
}

/**
 * Makes an application's service the DataSource's until it is dismissed: whoever asks after it was closed is told so, instead of
 * getting a new one that nobody closes.
 */
export function appointService(dataSource: object, service: object): void {
  registerService(dataSource, service)
  appointed.add(service)
}

export function dismissService(dataSource: object, service: object): void {
  if (services.get(dataSource) === service) services.delete(dataSource)
  appointed.delete(service)
}

export function isAppointed(service: object): boolean {
  return appointed.has(service)
}
