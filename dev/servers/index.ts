export { startServer } from './start-server.js'
export type { RunningServer, ServerAddress, ServerKind, ServerOrigin, StartServerOptions } from './server-types.js'
