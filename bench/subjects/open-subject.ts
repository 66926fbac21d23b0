import type { ServerAddress } from '../../dev/servers/index.js'
import type { NamedLockServiceOptions } from '../../src/index.js'
import { onlyPolling, openLibrary } from './library.js'
import { openNaive } from './naive.js'
import { openRaw } from './raw.js'
import type { Subject } from './subject.js'

export type SubjectKind = 'raw' | 'library' | 'polling library' | 'naive'

/** The options are the library's; other kinds have none. */
export function openSubject(
  kind: SubjectKind,
  address: ServerAddress,
  options?: NamedLockServiceOptions,
): Promise<Subject> {
  switch (kind) {
    case 'raw':
      return openRaw(address)
    case 'library':
      return openLibrary(address, options)
    case 'polling library':
      return openLibrary(address, { ...onlyPolling, ...options })
    case 'naive':
      return openNaive(address)
  }
}
