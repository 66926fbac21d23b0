export { MemoryServer } from './memory-server.js'
export { InMemoryNamedLockService, type InMemoryOptions, type LockElsewhere } from './in-memory-named-lock-service.js'
