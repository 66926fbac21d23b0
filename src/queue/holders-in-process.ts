import { processWide } from '../util/process-wide.js'
import type { Claim } from './claim.js'

/** The slots of one core, as the slots of others see them. */
interface Sibling {
  holdersOf(exclusionKey: string): readonly Claim[]
}

/** Weak: slots of a service that is dropped without `close()` must not live as long as its DataSource. */
const services = processWide('siblings', () => new WeakMap<object, Set<WeakRef<Sibling>>>())

/** From now on, other slots of the DataSource, which may be for the same keys, find the holders of these. */
export function join(dataSource: object, sibling: Sibling): void {
  let all = services.get(dataSource)
  if (!all) services.set(dataSource, (all = new Set()))
  for (const other of all) if (!other.deref()) all.delete(other)
  all.add(new WeakRef(sibling))
}

/** The claims of this process that hold the key, by whichever service of the DataSource. */
export function holdersIn(dataSource: object, exclusionKey: string): readonly Claim[] {
  return [...(services.get(dataSource) ?? [])].flatMap((one) => one.deref()?.holdersOf(exclusionKey) ?? [])
}
