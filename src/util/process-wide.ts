import { readFileSync } from 'node:fs'
import path from 'node:path'

/*
 * One process may load several copies of the package: linked packages, conflicting peer dependencies, a test runner
 * that reloads modules (jest.resetModules). State that excludes callers of one process from each other must exist once
 * per process, not once per copy. It is therefore stored on globalThis, under a registered symbol.
 */

/**
 * Increase it when copies of the same version number can no longer use each other's objects, during the development of
 * a version.
 */
const PROTOCOL = 3

/** One copy of the package. */
export interface Copy {
  /** Copies with the same protocol use each other's objects. */
  readonly protocol: string
  readonly path: string
}

/** Copies of every version read it: its shape must never change. */
interface Process {
  /** Shared objects, by protocol, then by name. */
  readonly parts: Map<string, Map<string, unknown>>
  /** The copy that has services on a DataSource. */
  readonly users: WeakMap<object, Copy>
}

const KEY = Symbol.for('typeorm-named-lock')

const process = ((globalThis as { [KEY]?: Process })[KEY] ??= { parts: new Map(), users: new WeakMap() })

export const thisCopy: Copy = { protocol: `${versionOfPackage()}/${PROTOCOL}`, path: path.join(__dirname, '..') }

/** Returns the shared object of that name in this process, for all copies with the same protocol. */
export function processWide<T>(name: string, make: () => T): T {
  let parts = process.parts.get(thisCopy.protocol)
  if (!parts) process.parts.set(thisCopy.protocol, (parts = new Map<string, unknown>()))
  if (!parts.has(name)) parts.set(name, make())
  return parts.get(name) as T
}

/** Returns the copy that has services on the DataSource. If there is none, this copy claims it. */
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
