import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { serverKinds } from '../../dev/servers/server-types.js'
import { charts, draw } from './charts.js'
import { publishedFolder, readRuns } from './published-run.js'
import { insertTables } from './insert-tables.js'

/** Takes the last whole runs (bench/results) into the documents: their results, the tables of docs/performance.md, the charts. */
async function main(): Promise<void> {
  const results = path.join(__dirname, '../results')
  await mkdir(publishedFolder, { recursive: true })
  if (!process.argv.includes('--redraw')) {
    for (const kind of serverKinds)
      await copyFile(path.join(results, `${kind}.json`), path.join(publishedFolder, `${kind}.json`))
  }
  const runs = await readRuns(publishedFolder)
  const page = path.join(__dirname, '../../docs/performance.md')
  await writeFile(page, insertTables(await readFile(page, 'utf8'), runs))
  const images = path.join(__dirname, '../../docs/images')
  for (const chart of charts(runs)) {
    for (const theme of ['light', 'dark'] as const) {
      await writeFile(path.join(images, `performance-${chart.name}-${theme}.svg`), await draw(chart, theme))
    }
  }
}

main().catch((error: unknown) => {
  console.error(error)
  process.exitCode = 1
})
