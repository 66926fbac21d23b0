#!/usr/bin/env node
import { ExitCode } from './exit-codes.js'
import { createProgram, isSaid } from './program.js'
import { exitCodeOf, reasonOf } from './with-service.js'

createProgram()
  .parseAsync()
  .catch((error: unknown) => {
    if (isSaid(error)) {
      process.exitCode = error.exitCode === 0 ? ExitCode.ok : ExitCode.usage
      return
    }
    process.exitCode = exitCodeOf(error)
    console.error(`named-lock: ${reasonOf(error)}`)
    if (process.env.NAMED_LOCK_DEBUG) console.error(error)
  })
  // Whatever an application's DataSource file leaves running.
  .finally(() => setImmediate(() => process.exit()))
