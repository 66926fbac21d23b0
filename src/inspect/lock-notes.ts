import { hostname } from 'node:os'
import type { Claim } from '../queue/claim.js'
import type { Slots } from '../queue/slots.js'
import { outside } from '../util/outside.js'
import { clearInterval, monotonicNow, setInterval, timeOrigin } from '../util/clock.js'

/** How often the note is renewed, in milliseconds. Locks that are held for less are not in it. */
const LOOK_EVERY = 500
/** More locks would make the note too long to be read. */
const MOST = 200

export const THIS_PROCESS = `${hostname()}:${process.pid}`

/** One lock of a note. */
interface Noted {
  readonly key: string
  readonly connectionId: string
  /** Milliseconds of the epoch. */
  readonly since: number
  /** Where it does not follow from the key. */
  readonly name?: string
}

interface Note {
  /** Host and process id. */
  readonly process: string
  readonly held: readonly Noted[]
  /** Names of keys that callers of that process wait for. */
  readonly waited: Readonly<Record<string, string>>
}

/** What the notes of all processes say. */
export interface NotedLocks {
  readonly names: ReadonlyMap<string, string>
  /** By key and connection. */
  holder(key: string, connectionId: string): { readonly since: Date; readonly process: string } | undefined
}

/**
 * What servers do not know of locks: the name behind a shortened key, since when it is held, and by which process. Each process
 * leaves that as a note on its shared session, for the `list` of all others.
 *
 * Taking and giving a lock costs nothing for it: the note is written at most twice in a second, only when it changes, and lists
 * only locks that are held or waited for at that time and have been for half a second.
 */
export class LockNotes {
  readonly #slots: Slots
  #timer: NodeJS.Timeout | undefined
  #written = ''
  #on: object | undefined

  constructor(slots: Slots) {
    this.#slots = slots
  }

  /** There is a lock to look after. */
  wake(): void {
    if (this.#timer) return
    this.#timer = outside(() => setInterval(() => this.#look(), LOOK_EVERY))
    this.#timer.unref()
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  #look(): void {
    const { shared, dialect } = this.#slots.sessions
    const { session } = shared
    if (!session || session.lostError || this.#on !== session) this.#written = ''
    this.#on = session
    const text = this.#text()
    if (dialect.leaveNote && session && !session.lostError && text !== this.#written) {
      this.#written = text
      session.leaveNote(text)
    }
    if (text === '' && this.#slots.isEmpty) this.stop()
  }

  #text(): string {
    const now = monotonicNow()
    const held: Noted[] = []
    const waited: Record<string, string> = {}
    let count = 0
    const note = (mustHaveName: boolean): void => {
      for (const { holder, head } of this.#slots.all) {
        if (count >= MOST) return
        const claim = holder ?? head
        if (!claim || isInKey(claim) === mustHaveName) continue
        if (holder?.checkLease() && now - holder.grantedAt >= LOOK_EVERY) {
          held.push({
            key: holder.target.key,
            connectionId: holder.session?.connectionId ?? '',
            since: Math.round(timeOrigin + holder.grantedAt), // the same at every look
            ...(mustHaveName && { name: holder.name }),
          })
          count++
        } else if (mustHaveName && head && now - head.startedAt >= LOOK_EVERY) {
          waited[head.target.key] = head.name
          count++
        }
      }
    }
    // Where there are too many: those that only this process knows come first.
    note(true)
    note(false)
    if (count === 0) return ''
    return JSON.stringify({ process: THIS_PROCESS, held, waited } satisfies Note)
  }
}

/** The name follows from the key. */
function isInKey({ target }: Claim): boolean {
  return target.key.endsWith(target.name)
}

/** Puts the notes together. Every user of the server can write one, so a text of another form is left out. */
export function readNotes(texts: readonly string[]): NotedLocks {
  const names = new Map<string, string>()
  const holders = new Map<string, { since: Date; process: string }>()
  for (const text of texts) {
    const note = parse(text)
    for (const [key, name] of Object.entries(note?.waited ?? {})) names.set(key, name)
    for (const { key, connectionId, since, name } of note?.held ?? []) {
      if (typeof name === 'string') names.set(key, name)
      if (Number.isFinite(since)) {
        holders.set(`${connectionId} ${key}`, { since: new Date(since), process: String(note?.process) })
      }
    }
  }
  return { names, holder: (key, connectionId) => holders.get(`${connectionId} ${key}`) }
}

function parse(text: string): Note | undefined {
  if (text === '') return undefined
  try {
    const note = JSON.parse(text) as Note
    return typeof note === 'object' && Array.isArray(note.held) ? note : undefined
  } catch {
    return undefined
  }
}
