/**
 * Makes `instanceof` true for objects of other copies of the package, too. This applies only to the class itself:
 * classes derived from it keep the ordinary meaning.
 */
export function recognisedAcrossCopies(constructor: abstract new (...args: never[]) => object, name: string): void {
  const brand = Symbol.for(`typeorm-named-lock:${name}`)
  const ordinary = Function.prototype[Symbol.hasInstance] as (this: unknown, value: unknown) => boolean
  Object.defineProperty(constructor.prototype, brand, { value: true })
  Object.defineProperty(constructor, Symbol.hasInstance, {
    value(this: unknown, value: unknown): boolean {
      if (this !== constructor) return ordinary.call(this, value)
      return typeof value === 'object' && value !== null && brand in value
    },
  })
}
