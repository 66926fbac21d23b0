import type { ServerAddress } from '../../dev/servers/index.js'
import { onlyPolling, openLibrary } from './library.js'
import { openNaive } from './naive.js'
import { openRaw } from './raw.js'
import type { Subject } from './subject.js'

export type SubjectKind = 'raw' | 'library' | 'polling library' | 'naive'

export function openSubject(kind: SubjectKind, address: ServerAddress): Promise<Subject> {
  switch (kind) {
    case 'raw':
      return openRaw(address)
    case 'library':
      return openLibrary(address)
    case 'polling library':
      return openLibrary(address, onlyPolling)
    case 'naive':
      return openNaive(address)
  }
}
