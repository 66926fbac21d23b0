/**
 * `read`: the lock is held together with other readers, never together with a writer. `write`: it is held alone.
 */
export type LockMode = 'read' | 'write'
