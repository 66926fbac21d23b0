import type { LockMode } from '../contract/lock-mode.js'

/* The holders of one lock, as the answer to `holderId` names them. */

export interface Holders {
  /** The first one is the holder where only one can be named. */
  readonly connectionIds: readonly string[]
  /** How the first one holds the lock, as far as the server shows it. */
  readonly mode: LockMode | undefined
}

/** The answer of servers with reader locks of their own: the connections with a space between them, and before those of readers an `r`. */
export function readHolders(answer: string): Holders {
  const words = answer.split(' ').filter(Boolean)
  const isRead = words[0] === READERS
  return { connectionIds: isRead ? words.slice(1) : words, mode: isRead ? 'read' : undefined }
}

export const READERS = 'r'
