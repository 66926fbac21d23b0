export type { NamedLockModuleAsyncOptions, NamedLockOptionsFactory } from './module-options.js'
export { NamedLockModule } from './named-lock-module.js'
export { getNamedLockServiceToken, InjectNamedLocks } from './tokens.js'
