/** A lock implementation under comparison. */
export interface Subject extends AsyncDisposable {
  withLock<T>(name: string, work: () => T | Promise<T>): Promise<T>
}

/** A subject that also has locks without a scope. */
export interface HandleSubject extends Subject {
  /** Resolves, once the lock is held, to a function that releases it. */
  acquire(name: string): Promise<() => Promise<unknown>>
}
