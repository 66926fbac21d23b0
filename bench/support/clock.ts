/**
 * Microseconds on the machine's monotonic clock. Unlike `performance.now()`, which counts from the start of its process,
 * times of several processes can be compared.
 */
export function monotonicMicroseconds(): number {
  return Number(process.hrtime.bigint()) / 1000
}
