import type { Finding, LockHolder, LockInfo, LockList } from '../contract/lock-info.js'
import { wallNow } from '../util/clock.js'

/** `3m 20s` */
export function age(since: Date | undefined, now = wallNow()): string {
  if (since === undefined) return ''
  const seconds = Math.max(0, Math.floor((now - since.getTime()) / 1000))
  const units: [number, string][] = [
    [86_400, 'd'],
    [3_600, 'h'],
    [60, 'm'],
    [1, 's'],
  ]
  const first = units.findIndex(([size]) => seconds >= size)
  if (first < 0) return '0s'
  let rest = seconds
  return units
    .slice(first, first + 2)
    .map(([size, unit]) => {
      const count = Math.floor(rest / size)
      rest %= size
      return count === 0 ? '' : `${count}${unit}`
    })
    .filter(Boolean)
    .join(' ')
}

/** Escapes control and format characters: a lock's name may come from any process, and a terminal would obey them. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, (char) => `\\u{${(char.codePointAt(0) as number).toString(16)}}`)
}

/** The name, with the number of a permit in brackets. */
export function nameOf({ name, key, permit }: LockInfo): string {
  const text = printable(name ?? key)
  // An unknown name is shown by the key, which has the number already.
  return name !== undefined && permit !== undefined ? `${text} [${permit}]` : text
}

/** `worker-3:4711 (connection 881, app@10.0.0.7)` */
export function describeHolder({ connectionId, process, user, host }: LockHolder): string {
  const account = user === undefined ? undefined : `${user}${host === undefined ? '' : `@${host}`}`
  const details = [`connection ${connectionId}`, account].filter((one) => one !== undefined).join(', ')
  return printable(process === undefined ? details : `${process} (${details})`)
}

/** `reads: worker-3:4711 (connection 881, app@10.0.0.7)`, `permit 3: …` */
export function describeHolding(holder: LockHolder): string {
  const how = holder.permit !== undefined ? `permit ${holder.permit}` : holder.mode && `${holder.mode}s`
  return `${how === undefined ? '' : `${how}: `}${describeHolder(holder)}`
}

/** `reads: worker-3:4711 (connection 881, app@10.0.0.7) and 2 more` */
function describeHolders({ mode, holder, holders }: LockInfo): string {
  const what = mode === undefined ? '' : `${mode}s: `
  return `${what}${describeHolder(holder)}${holders.length > 1 ? ` and ${holders.length - 1} more` : ''}`
}

/** How many columns of a terminal the text takes: East Asian characters and emoji take two, combining marks none. */
export function widthOf(text: string): number {
  let width = 0
  for (const char of text) width += /\p{Mark}/u.test(char) ? 0 : WIDE.test(char) ? 2 : 1
  return width
}

const WIDE =
  /\p{Script=Han}|\p{Script=Hiragana}|\p{Script=Katakana}|\p{Script=Hangul}|\p{Emoji_Presentation}|[\u3000-\u303f\uff01-\uff60\uffe0-\uffe6]/u

/** The text, cut off with an ellipsis if it does not fit. */
export function fitted(text: string, width: number): string {
  if (widthOf(text) <= width) return text
  let beginning = ''
  let left = width - 1
  for (const char of text) {
    left -= widthOf(char)
    if (left < 0) break
    beginning += char
  }
  return `${beginning}…`
}

/** The width that a name always gets, even if the holder no longer fits the line. */
const LEAST_NAME = 16
/** The greatest width that one long name may give the first column. */
const MOST_NAME = 64

/**
 * Formats rows as columns. If the table is too wide, the first column is shortened, then the ends of the lines. Without
 * a width nothing is shortened.
 */
export function table(rows: readonly (readonly string[])[], width = Infinity): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => widthOf(row[column] ?? ''))))
  const [first = 0, ...others] = widths
  const left = width - others.reduce((sum, one) => sum + one + 2, 0)
  widths[0] = Math.min(first, width === Infinity ? MOST_NAME : Math.max(left, LEAST_NAME))
  return rows
    .map((row) => {
      const cells = row.map((cell, at) => {
        const text = at === 0 && width < Infinity ? fitted(cell, widths[0] as number) : cell
        return text + ' '.repeat(Math.max(0, (widths[at] ?? 0) - widthOf(text)))
      })
      return fitted(cells.join('  ').trimEnd(), width)
    })
    .join('\n')
}

export function lockTable(locks: LockList, width?: number): string {
  const rows = locks.map((lock) => {
    const { holder, waiters } = lock
    const longest = waiters.map(({ since }) => since).find((since) => since !== undefined)
    const waiting = waiters.length === 0 ? '' : `${waiters.length}${longest ? ` (${age(longest)})` : ''}`
    return [nameOf(lock), describeHolders(lock), age(holder.since), waiting]
  })
  return table([['NAME', 'HOLDER', 'HELD FOR', 'WAITING'], ...rows], width)
}

export function findingsText(findings: readonly Finding[]): string {
  if (findings.length === 0) return 'No problems found.'
  return findings
    .map(({ code, severity, message, remedy }) => `${severity.toUpperCase()}  ${code}\n  ${message}\n  → ${remedy}`)
    .join('\n\n')
}
