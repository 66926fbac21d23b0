import type { Finding, LockHolder, LockInfo } from '../options.js'

/** `3m 20s` */
export function age(since: Date | undefined, now = Date.now()): string {
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

/** Names come from anybody: what a terminal would obey is shown instead. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, (char) => `\\u{${(char.codePointAt(0) as number).toString(16)}}`)
}

export function nameOf({ name, key }: LockInfo): string {
  return printable(name ?? key)
}

/** `worker-3:4711 (connection 881, app@10.0.0.7)` */
export function describeHolder({ connectionId, process, user, host }: LockHolder): string {
  const account = user === undefined ? undefined : `${user}${host === undefined ? '' : `@${host}`}`
  const details = [`connection ${connectionId}`, account].filter((one) => one !== undefined).join(', ')
  return printable(process === undefined ? details : `${process} (${details})`)
}

export function table(rows: readonly (readonly string[])[], width = Infinity): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => [...(row[column] ?? '')].length)))
  return rows
    .map((row) => {
      const line = row
        .map((cell, i) => cell + ' '.repeat((widths[i] ?? 0) - [...cell].length))
        .join('  ')
        .trimEnd()
      const chars = [...line]
      return chars.length > width ? `${chars.slice(0, width - 1).join('')}…` : line
    })
    .join('\n')
}

export function lockTable(locks: readonly LockInfo[], width?: number): string {
  if (locks.length === 0) return 'No locks are held.'
  const rows = locks.map((lock) => {
    const { holder, waiters } = lock
    const longest = waiters.map(({ since }) => since).find((since) => since !== undefined)
    const waiting = waiters.length === 0 ? '' : `${waiters.length}${longest ? ` (${age(longest)})` : ''}`
    return [nameOf(lock), describeHolder(holder), age(holder.since), waiting]
  })
  return table([['NAME', 'HOLDER', 'HELD FOR', 'WAITING'], ...rows], width)
}

export function findingsText(findings: readonly Finding[]): string {
  if (findings.length === 0) return 'Nothing is wrong with this server and set-up.'
  return findings
    .map(({ code, severity, message, remedy }) => `${severity.toUpperCase()}  ${code}\n  ${message}\n  → ${remedy}`)
    .join('\n\n')
}
