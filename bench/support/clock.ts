/**
 * Microseconds on the machine's monotonic clock. Unlike `performance.now()`, which counts from the start of the
 * process, it is comparable between processes.
 */
export function monotonicMicroseconds(): number {
  return Number(process.hrtime.bigint()) / 1000
}
