#!/usr/bin/env node
import { argumentsOf } from './arguments.js'
import { ExitCode } from './exit-codes.js'
import { exit, watchOutput } from './output.js'
import { createProgram, isSaid } from './program.js'
import { exitCodeOf, reasonOf } from './with-service.js'
import { setImmediate } from '../util/clock.js'

watchOutput()
const program = createProgram()
program
  .parseAsync(argumentsOf(program, process.argv.slice(2)), { from: 'user' })
  .catch((error: unknown) => {
    if (isSaid(error)) {
      process.exitCode = error.exitCode === 0 ? ExitCode.ok : ExitCode.usage
      return
    }
    process.exitCode = exitCodeOf(error)
    console.error(`named-lock: ${reasonOf(error)}`)
    if (process.env.NAMED_LOCK_DEBUG) console.error(error)
  })
  // The application's DataSource file may leave timers or servers running, so the process exits explicitly.
  .finally(() => setImmediate(() => void exit()))
