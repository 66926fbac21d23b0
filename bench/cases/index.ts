import type { BenchCase } from '../support/bench-case.js'
import { decoratedMethod } from './decorated-method.js'
import { distinctNames } from './distinct-names.js'
import { handOver } from './hand-over.js'
import { memory } from './memory.js'
import { oneCaller } from './one-caller.js'
import { oneCallerBackground } from './one-caller-background.js'
import { oneName } from './one-name.js'
import { permitsOfOneName } from './permits.js'
import { severalProcessesEmptyWork, severalProcessesShortWork } from './several-processes.js'
import { thousandLocks } from './thousand-locks.js'
import { transaction } from './transaction.js'
import { wakingLatency } from './waking-latency.js'

export const cases: readonly BenchCase[] = [
  oneCaller,
  oneCallerBackground,
  distinctNames,
  oneName,
  permitsOfOneName,
  severalProcessesEmptyWork,
  severalProcessesShortWork,
  handOver,
  wakingLatency,
  thousandLocks,
  decoratedMethod,
  transaction,
  memory,
]
