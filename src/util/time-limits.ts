/** Time limits that go by another clock than the library's own. */
export interface TimeLimits {
  /**
   * Calls `over` when that time has passed, unless `end` is called before. One limit for each object.
   *
   * @param spent How much of the time is over already by the library's own clock.
   */
  begin(of: object, milliseconds: number, spent: number, over: () => void): void
  end(of: object): void
}
