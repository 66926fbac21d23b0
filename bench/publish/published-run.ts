import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { serverKinds, type ServerKind } from '../../dev/servers/server-types.js'

/** The results of a run, as `npm run bench` writes them; as far as the documents need them. */
export interface Run {
  readonly server: { readonly kind: ServerKind; readonly version: string }
  readonly redis: string
  readonly versions: Readonly<Record<string, string>>
  readonly machine: { readonly cpus: number; readonly model: string; readonly system: string }
  readonly placement: string
  readonly rounds: number
  readonly cases: Readonly<Record<string, PublishedCase>>
}

interface PublishedCase {
  readonly title: string
  readonly figures: readonly { readonly label: string; readonly median: number; readonly cpuMedian?: number }[]
  readonly ratios: readonly {
    readonly label: string
    readonly median: number
    readonly atLeast?: number
    readonly atMost?: number
  }[]
}

export type Runs = Readonly<Record<ServerKind, Run>>

/** The runs that the documents show, one for each server. */
export const publishedFolder = path.join(__dirname, '../published')

export const titles: Readonly<Record<ServerKind, string>> = {
  mysql: 'MySQL',
  mariadb: 'MariaDB',
  postgres: 'PostgreSQL',
}

export async function readRuns(folder: string): Promise<Runs> {
  const runs = await Promise.all(
    serverKinds.map(async (kind) => [
      kind,
      JSON.parse(await readFile(path.join(folder, `${kind}.json`), 'utf8')) as Run,
    ]),
  )
  return Object.fromEntries(runs) as Runs
}

export function ratioOf(run: Run, name: string, label: string) {
  return run.cases[name]?.ratios.find((ratio) => ratio.label === label)
}

export function figureOf(run: Run, name: string, label: string) {
  return run.cases[name]?.figures.find((figure) => figure.label === label)
}
