/** Time limits measured by another clock than the library's own. */
export interface TimeLimits {
  /**
   * Calls `over` when the time has passed, unless `end` is called before. Each object has at most one limit.
   *
   * @param spent The part of the time that has already passed by the library's own clock.
   */
  begin(of: object, milliseconds: number, spent: number, over: () => void): void
  end(of: object): void
}
