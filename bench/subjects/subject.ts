/** Something that can lock: what is compared. */
export interface Subject extends AsyncDisposable {
  withLock<T>(name: string, work: () => T | Promise<T>): Promise<T>
}

/** One that also has locks without a scope. */
export interface HandleSubject extends Subject {
  /** Resolves, when the lock is held, to what gives it back. */
  acquire(name: string): Promise<() => Promise<unknown>>
}
