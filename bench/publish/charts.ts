import type { Config, TopLevelSpec } from 'vega-lite'
import { serverKinds } from '../../dev/servers/server-types.js'
import { figureOf, ratioOf, titles, type Runs } from './published-run.js'

/** The charts of docs/performance.md, each for a light and for a dark page. */
export interface Chart {
  readonly name: string
  readonly spec: TopLevelSpec
}

export type Theme = 'light' | 'dark'

const servers = serverKinds.map((kind) => titles[kind])
const colours = { library: '#1a7f6b', raw: '#8a8f98', naive: '#c2712e', redlock: '#a33b4a' }

interface Bar {
  readonly server: string
  readonly load: string
  readonly subject: string
  readonly value: number
}

const loads: readonly [benchCase: string, title: string, subjects: Readonly<Record<string, string>>][] = [
  ['one-caller', 'one caller', { raw: 'raw', library: 'library', redlock: 'redlock', naive: 'naive' }],
  ['one-caller-background', 'one caller, background', { raw: 'raw', library: 'library', redlock: 'redlock' }],
  [
    'distinct-names',
    '100 callers, 100 names',
    { raw: 'raw, one at a time', library: 'library', redlock: 'redlock', naive: 'naive' },
  ],
  ['one-name', '100 callers, one name', { library: 'library', naive: 'naive' }],
  ['processes', '4 processes, one name', { library: 'library', naive: 'naive' }],
]

function bars(runs: Runs, what: 'median' | 'cpuMedian'): Bar[] {
  return serverKinds.flatMap((kind) =>
    loads.flatMap(([name, load, subjects]) =>
      Object.entries(subjects).flatMap(([subject, label]) => {
        const value = figureOf(runs[kind], name, label)?.[what]
        return value === undefined ? [] : [{ server: titles[kind], load, subject, value }]
      }),
    ),
  )
}

function barChart(name: string, values: readonly Bar[], title: string, description: string): Chart {
  const least = 10 ** Math.floor(Math.log10(Math.min(...values.map(({ value }) => value))) - 0.01)
  return {
    name,
    spec: {
      description,
      data: { values: [...values] },
      facet: {
        row: { field: 'load', type: 'nominal', sort: loads.map(([, load]) => load), title: null, header: rowHeader },
        column: { field: 'server', type: 'nominal', sort: servers, title: null },
      },
      spacing: { row: 12, column: 24 },
      spec: {
        width: 180,
        height: { step: 15 },
        mark: { type: 'bar', height: 11 },
        encoding: {
          y: { field: 'subject', type: 'nominal', sort: Object.keys(colours), title: null, axis: { ticks: false } },
          // A bar on a logarithmic scale has to begin somewhere.
          x: {
            field: 'value',
            type: 'quantitative',
            scale: { type: 'log', domainMin: least },
            title,
            axis: powersOfTen,
          },
          x2: { datum: least },
          color: {
            field: 'subject',
            type: 'nominal',
            scale: { domain: Object.keys(colours), range: Object.values(colours) },
            legend: null,
          },
        },
      },
      resolve: { scale: { y: 'independent' } },
    },
  }
}

const powersOfTen = { values: [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000], format: '~s' }
const rowHeader = { labelAngle: 0, labelAlign: 'left', labelLimit: 200 } as const

/** Throughput against the tail, both relative to the naive design, for each setting of `handOver`. */
function handOverChart(runs: Runs): Chart {
  const values = serverKinds.flatMap((kind) =>
    (runs[kind].cases['hand-over']?.ratios ?? []).flatMap(({ label, median }) => {
      const match = /^times 256, for (\d+) ms \/ naive$/.exec(label)
      if (!match) return []
      const tail = ratioOf(runs[kind], 'hand-over', `${label}: p99 wait`)?.median
      return [{ server: titles[kind], for: Number(match[1]), throughput: median, tail }]
    }),
  )
  const x = {
    field: 'tail',
    type: 'quantitative',
    title: 'p99 of the wait, naive = 1',
    scale: { zero: false },
  } as const
  const y = {
    field: 'throughput',
    type: 'quantitative',
    title: 'throughput, naive = 1',
    scale: { zero: false },
  } as const
  const color = { field: 'server', type: 'nominal', sort: servers, title: null } as const
  return {
    name: 'hand-over',
    spec: {
      description: 'Throughput against p99 of the wait for values of handOver.for, relative to the naive design',
      data: { values },
      width: 560,
      height: 280,
      layer: [
        { mark: { type: 'line', point: true }, encoding: { x, y, color, order: { field: 'for' } } },
        {
          mark: { type: 'text', dy: -9, fontSize: 10 },
          encoding: { x, y, color, text: { field: 'for', type: 'quantitative' } },
        },
      ],
    },
  }
}

export function charts(runs: Runs): Chart[] {
  return [
    barChart('rates', bars(runs, 'median'), 'locks per second', 'Locks per second of each subject, by case and server'),
    barChart(
      'cpu',
      bars(runs, 'cpuMedian'),
      'µs of CPU',
      'Microseconds of CPU per lock of each subject, by case and server',
    ),
    handOverChart(runs),
  ]
}

export async function draw({ spec }: Chart, theme: Theme): Promise<string> {
  const ink = theme === 'light' ? '#24292f' : '#d0d7de'
  const line = theme === 'light' ? '#d0d7de' : '#3d444d'
  const text = { labelColor: ink, titleColor: ink }
  const config: Config = {
    background: 'transparent',
    font: 'system-ui, sans-serif',
    view: { stroke: null },
    axis: {
      ...text,
      labelFontSize: 11,
      gridColor: line,
      domainColor: line,
      tickColor: line,
      titleFontWeight: 'normal',
    },
    header: text,
    legend: text,
    text: { color: ink },
    range: { category: theme === 'light' ? ['#1a7f6b', '#c2712e', '#3d5fa8'] : ['#3fb89f', '#e09a5c', '#7d9be0'] },
  }
  // Imported here, because these modules cannot be required.
  const [{ parse, View }, { compile }] = await Promise.all([import('vega'), import('vega-lite')])
  const view = new View(parse(compile(spec, { config }).spec), { renderer: 'none' })
  return `${await view.toSVG()}\n`
}
