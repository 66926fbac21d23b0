import { processWide } from '../util/process-wide.js'
import type { Claim } from './claim.js'

/** The slots of one service, as those of another one see them. */
interface Sibling {
  holdersOf(exclusionKey: string): readonly Claim[]
}

/** Weak: a service that nobody closes must not live as long as its DataSource. */
const services = processWide('siblings', () => new WeakMap<object, Set<WeakRef<Sibling>>>())

/** From now on the locks of this service are known to the others on its DataSource, which have slots of their own for the same keys. */
export function join(dataSource: object, sibling: Sibling): void {
  let all = services.get(dataSource)
  if (!all) services.set(dataSource, (all = new Set()))
  for (const other of all) if (!other.deref()) all.delete(other)
  all.add(new WeakRef(sibling))
}

/** Who in this process holds the lock of that key, by whichever service of the DataSource. */
export function holdersIn(dataSource: object, exclusionKey: string): readonly Claim[] {
  return [...(services.get(dataSource) ?? [])].flatMap((one) => one.deref()?.holdersOf(exclusionKey) ?? [])
}
