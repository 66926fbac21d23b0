type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false

/** `is<A>()(value, true)` compiles when the value's type is exactly A. */
export function is<A>() {
  return <B>(_value: B, _same: Equal<A, B>) => {}
}
