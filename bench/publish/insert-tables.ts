import type { Runs } from './published-run.js'
import { cpuTable, describeRuns, figureTable, ratioTable } from './tables.js'

/** The blocks of docs/performance.md that are written from the published runs. */
const blocks: Readonly<Record<string, (runs: Runs) => string>> = {
  about: describeRuns,
  ratios: ratioTable,
  cpu: cpuTable,
  figures: figureTable,
}

/** The page with its tables written anew, between `<!-- bench:name -->` and `<!-- end -->`. */
export function insertTables(page: string, runs: Runs): string {
  let text = page
  for (const [name, write] of Object.entries(blocks)) {
    const begin = `<!-- bench:${name} -->`
    const from = text.indexOf(begin)
    if (from < 0) throw new Error(`docs/performance.md has no ${begin}`)
    const to = text.indexOf('<!-- end -->', from)
    text = `${text.slice(0, from + begin.length)}\n\n${write(runs)}\n\n${text.slice(to)}`
  }
  return text
}
