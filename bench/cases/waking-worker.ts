import { setTimeout as sleep } from 'node:timers/promises'
import type { ServerAddress } from '../../dev/servers/index.js'
import { openLibrary } from '../subjects/library.js'
import { openRaw } from '../subjects/raw.js'
import type { HandleSubject } from '../subjects/subject.js'
import { monotonicMicroseconds } from '../support/clock.js'
import { serveJobs } from '../support/serve-jobs.js'

export type WakingSubject = 'raw' | 'library'

const name = 'report'
const subjects = new Map<WakingSubject, HandleSubject>()
let release: () => Promise<unknown> = async () => undefined

serveJobs({
  async open(address: ServerAddress) {
    subjects.set('raw', await openRaw(address))
    subjects.set('library', await openLibrary(address))
  },
  /** Acquires uncontended locks first, so that the code is compiled as in a process that has been serving callers. */
  async warmUp(times: number) {
    for (const [kind, subject] of subjects) {
      for (let turn = 0; turn < times; turn++)
        await subject.withLock(`${kind}:${process.pid}:${turn % 100}`, () => undefined)
    }
  },
  async hold(subject: WakingSubject) {
    release = await subjects.get(subject)!.acquire(name)
  },
  /** Resolves to the time at which the release was sent. */
  async letGo() {
    const sent = monotonicMicroseconds()
    const released = release()
    await sleep(2) // the message to the benchmark must not delay the waiter's process on the same core
    await released
    return sent
  },
  /** Resolves to the time of the acquisition. */
  async waitForIt(subject: WakingSubject) {
    const unlock = await subjects.get(subject)!.acquire(name)
    const granted = monotonicMicroseconds()
    await unlock()
    return granted
  },
  async close() {
    for (const subject of subjects.values()) await subject[Symbol.asyncDispose]()
  },
})
