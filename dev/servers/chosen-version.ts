/*
 * The environment variables that choose a version of a server for a run of the tests. A value that is not in the list
 * is an error before any server is tried: the tests must never run on another version than the chosen one.
 */
import type { ServerKind } from './server-types.js'

/** Oldest first. The package of MySQL is only in the last one. */
export const debianReleases = ['bullseye', 'bookworm', 'trixie', 'sid'] as const
export type DebianRelease = (typeof debianReleases)[number]

export const postgresMajors = ['14', '15', '16', '17', '18'] as const
export type PostgresMajor = (typeof postgresMajors)[number]

/** The source that holds the chosen version: Debian's packages of a release, or the npm package of PostgreSQL. */
export type ChosenVersion =
  { readonly from: 'debian'; readonly release: DebianRelease } | { readonly from: 'npm'; readonly major: PostgresMajor }

/** The chosen version of this kind of server; undefined: whichever is found. */
export function chosenVersion(kind: ServerKind): ChosenVersion | undefined {
  const major = kind === 'postgres' ? oneOf('NAMED_LOCK_POSTGRES_VERSION', postgresMajors) : undefined
  const release = chosenDebian()
  if (major !== undefined) return { from: 'npm', major }
  return release && { from: 'debian', release }
}

/** The Debian release whose packages the tests are to run on, whatever the release of this machine is. */
export function chosenDebian(): DebianRelease | undefined {
  return oneOf('NAMED_LOCK_DEBIAN_RELEASE', debianReleases)
}

function oneOf<T extends string>(variable: string, values: readonly T[]): T | undefined {
  const value = process.env[variable]
  if (!value) return undefined
  const found = values.find((one) => one === value)
  if (found === undefined) throw new Error(`${variable} is '${value}', but has to be one of: ${values.join(', ')}`)
  return found
}
