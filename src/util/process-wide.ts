import { readFileSync } from 'node:fs'
import path from 'node:path'

/*
 * There may be several copies of the package in one process: linked packages, conflicting peer dependencies, a test runner that
 * loads modules anew (jest.resetModules). What excludes callers of one process from each other must not exist once per copy, so
 * it stands on globalThis, under a registered symbol.
 */

/** Raise it when copies of the same version number could not use each other's objects: while a version is being developed. */
const PROTOCOL = 1

/** One copy of the package. */
export interface Copy {
  /** Copies with the same one use each other's objects. */
  readonly protocol: string
  readonly path: string
}

/** Read by copies of every version: its shape must stay as it is. */
interface Process {
  /** By protocol, then by name. */
  readonly parts: Map<string, Map<string, unknown>>
  /** Which copy has services on a DataSource. */
  readonly users: WeakMap<object, Copy>
}

const KEY = Symbol.for('typeorm-named-lock')

const process = ((globalThis as { [KEY]?: Process })[KEY] ??= { parts: new Map(), users: new WeakMap() })

export const thisCopy: Copy = { protocol: `${versionOfPackage()}/${PROTOCOL}`, path: path.join(__dirname, '..') }

/** The one of that name in this process, for all copies that understand each other. */
export function processWide<T>(name: string, make: () => T): T {
  let parts = process.parts.get(thisCopy.protocol)
  if (!parts) process.parts.set(thisCopy.protocol, (parts = new Map<string, unknown>()))
  if (!parts.has(name)) parts.set(name, make())
  return parts.get(name) as T
}

/** The copy that has services on that DataSource: from now on this one, if none had. */
export function copyOf(dataSource: object): Copy {
  let copy = process.users.get(dataSource)
  if (!copy) process.users.set(dataSource, (copy = thisCopy))
  return copy
}

function versionOfPackage(): string {
  try {
    const file = path.join(__dirname, '..', '..', 'package.json')
    return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version
  } catch {
    return 'unknown' // bundled into another file
  }
}
