import type { Settings } from '../contract/settings.js'

/**
 * The options that belong to a session and not to a service: services of a DataSource that agree on them share their sessions. All
 * others (namespace, timeouts, maxLocks, fencing, …) are a service's own, and `maxSessions` is a bound for all of them together.
 */
export const SESSION_OPTIONS = ['lease', 'keepAlive', 'allowNoLease', 'connections', 'pooling'] as const

export type SessionSettings = Pick<Settings, (typeof SESSION_OPTIONS)[number]>

/** The same text for the same settings. */
export function sessionSettingsText(settings: SessionSettings): string {
  return `{ ${SESSION_OPTIONS.map((option) => `${option}: ${textOf(settings[option])}`).join(', ')} }`
}

function textOf(value: string | number | boolean): string {
  return typeof value === 'string' ? `'${value}'` : String(value)
}
