import { nameOf } from '../names/lock-name.js'
import { partBase, readPartKey } from '../names/part-keys.js'
import type { Targets } from '../names/targets.js'

/* What a list shows of a permit: its number, and the name that it belongs to. Where keys are numbers, only those are known that this process has used. */

export function permitOf(key: string, targets: Pick<Targets, 'known'>): number | undefined {
  const part = readPartKey(key)
  if (part?.kind === 'p') return part.number
  for (const target of targets.known) if (target.key === key) return target.permit
  return undefined
}

/** @param noted The name that another process has noted for the key; the key has to confirm it. */
export function nameOfPermit(namespace: string | false, key: string, noted: string | undefined): string | undefined {
  const part = readPartKey(key)
  if (part?.kind !== 'p') return undefined
  return (
    nameOf(namespace, part.base) ?? (noted !== undefined && belongsTo(namespace, noted, part.base) ? noted : undefined)
  )
}

/** What a permit's key begins with, for the comparison with a prefix. */
export function withoutPermit(key: string): string {
  const part = readPartKey(key)
  return part?.kind === 'p' ? part.base : key
}

function belongsTo(namespace: string | false, name: string, base: string): boolean {
  try {
    return partBase(namespace, name) === base
  } catch {
    return false // a note of another process may have any text
  }
}
