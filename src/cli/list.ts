import type { LockList } from '../contract/lock-info.js'
import { lockTable } from './format.js'
import { labelOf, type Namespaces } from './namespaces.js'

/** The table, and what is held in other namespaces. */
export function listText(list: LockList, namespaces: Namespaces, width?: number): string {
  const where = labelOf(namespaces.own)
  const others = namespaces.othersBeside(list)
  if (list.length === 0) {
    const nothing = list.note === undefined ? `No locks in ${where}.` : `No locks are known of in ${where}.`
    return others === '' ? nothing : `${nothing} ${others}`
  }
  return [lockTable(list, width), '', `Shown: ${where}.${others === '' ? '' : ` ${others}`}`].join('\n')
}

/** An object, as an empty list would not say where it was looked. */
export function listJson(list: LockList, namespaces: Namespaces): object {
  return {
    namespace: namespaces.own,
    locks: list,
    others: namespaces.others(),
    ...(list.note !== undefined && { note: list.note }),
  }
}
