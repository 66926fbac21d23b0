export { instrumentNamedLocks, type NamedLockTelemetryOptions } from './instrument.js'
