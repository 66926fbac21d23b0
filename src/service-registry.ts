/** Which service `NamedLockService.for` gives for a DataSource. */
const services = new WeakMap<object, object>()

export function serviceOf(dataSource: object): object | undefined {
  return services.get(dataSource)
}

export function registerService(dataSource: object, service: object): void {
  services.set(dataSource, service)
}
