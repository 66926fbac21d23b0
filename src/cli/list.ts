import type { LockList } from '../contract/lock-info.js'
import { lockTable } from './format.js'
import { labelOf, type Namespaces } from './namespaces.js'

/** The table of locks, and the number of locks in other namespaces. */
export function listText(list: LockList, namespaces: Namespaces, width?: number): string {
  const where = labelOf(namespaces.own)
  const others = namespaces.othersBeside(list)
  if (list.length === 0) {
    const nothing = list.note === undefined ? `No locks in ${where}.` : `No locks are known of in ${where}.`
    return others === '' ? nothing : `${nothing} ${others}`
  }
  return [lockTable(list, width), '', `Shown: ${where}.${others === '' ? '' : ` ${others}`}`].join('\n')
}

/** The JSON of `list`. An object rather than an array, so that an empty result still names its namespace. */
export function listJson(list: LockList, namespaces: Namespaces): object {
  return {
    namespace: namespaces.own,
    locks: list,
    others: namespaces.others(),
    ...(list.note !== undefined && { note: list.note }),
  }
}
