import { forEachDialectAndTypeorm, type Conformance } from '../../support/conformance.js'
import { typeorms } from '../../support/typeorms.js'

/** Every server and every major of TypeORM; not the locks in memory, which have no transactions. */
export function forEachDatabase(define: (ctx: Conformance) => void): void {
  forEachDialectAndTypeorm(define, [...typeorms])
}
