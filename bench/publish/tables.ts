import { serverKinds } from '../../dev/servers/server-types.js'
import { figureOf, ratioOf, titles, type Runs } from './published-run.js'

/** One row for each ratio: what was measured, against what, and its label in the results. */
const ratioRows: readonly [title: string, against: string, benchCase: string, label: string][] = [
  ['one caller, uncontended', 'raw', 'one-caller', 'library / raw'],
  ['', 'redlock', 'one-caller', 'library / redlock'],
  ['the driver alone, prepared', 'redlock', 'one-caller', 'raw, prepared / redlock'],
  ["one caller, `release: 'background'`", 'raw', 'one-caller-background', 'library / raw'],
  ['', 'redlock', 'one-caller-background', 'library / redlock'],
  ['the same, decorator', 'raw', 'one-caller-background', 'decorator / raw'],
  ['100 callers, distinct names', 'raw, one at a time', 'distinct-names', 'library / raw'],
  ['', 'redlock', 'distinct-names', 'library / redlock'],
  ['100 callers, one name, one process', 'naive', 'one-name', 'library / naive'],
  ['100 callers, 10 permits, one process', 'a loop by hand', 'permits', 'library / by hand'],
  ['4 processes × 25 callers, one name', 'naive', 'processes', 'library / naive'],
  ['the same, all polling', 'naive', 'processes', 'polling library / naive'],
  ['the same with 1 ms of work', 'naive', 'processes-1ms', 'library / naive'],
  ['the same with 1 ms of work, all polling', 'naive', 'processes-1ms', 'polling library / naive'],
  ['1 ms of work, p99 of the wait (time)', 'naive', 'hand-over', 'times 256, for 50 ms / naive: p99 wait'],
  ['waking across two processes (time)', 'raw', 'waking', 'library / raw'],
  ['`transaction`, 1 caller', 'a QueryRunner by hand', 'transaction', 'library / by hand, 1 caller'],
  [
    '`transaction`, 8 callers, 8 names',
    'a QueryRunner by hand',
    'transaction',
    'library / by hand, 8 callers, 8 names',
  ],
  [
    '`transaction`, 8 callers, one name',
    'a QueryRunner by hand',
    'transaction',
    'library / by hand, 8 callers, one name',
  ],
]

/** One row for each subject whose CPU per lock is of interest: its label in the results, and what it is called here. */
const cpuRows: readonly [title: string, benchCase: string, subjects: Readonly<Record<string, string>>][] = [
  [
    'one caller',
    'one-caller',
    { library: 'library', raw: 'raw', 'raw, prepared': 'raw, prepared', redlock: 'redlock' },
  ],
  [
    "one caller, `release: 'background'`",
    'one-caller-background',
    { library: 'library', decorator: 'decorator', 'one statement alone': 'one statement alone' },
  ],
  [
    '100 callers, distinct names',
    'distinct-names',
    {
      library: 'library',
      'batches alone, without a queue, timeouts or scopes': 'batches alone',
      redlock: 'redlock',
      naive: 'naive',
    },
  ],
  ['100 callers, one name', 'one-name', { library: 'library', naive: 'naive' }],
  ['100 callers, 10 permits', 'permits', { library: 'library' }],
  ['4 processes × 25 callers, one name', 'processes', { library: 'library', naive: 'naive' }],
  ['`transaction`, 1 caller', 'transaction', { 'library, 1 caller': 'library', 'by hand, 1 caller': 'by hand' }],
]

/** Rows of other figures. */
const figureRows: readonly [title: string, unit: string, benchCase: string, label: string][] = [
  ['one caller', 'locks/s', 'one-caller', 'library'],
  ["one caller, `release: 'background'`", 'locks/s', 'one-caller-background', 'library'],
  ['100 callers, distinct names', 'locks/s', 'distinct-names', 'library'],
  ['100 callers, one name', 'locks/s', 'one-name', 'library'],
  ['4 processes, 1 ms of work: p99 of the wait', 'ms', 'processes-1ms', 'library: p99 wait'],
  ['the same, all polling', 'ms', 'processes-1ms', 'polling library: p99 wait'],
  ['the same, naive', 'ms', 'processes-1ms', 'naive: p99 wait'],
  ['1 000 held locks, 1 000 waiters: connections', '', 'thousand', 'connections on the server'],
  ['the same: statements per second', '', 'thousand', 'statements, steady state'],
  ['memory per held lock', 'bytes', 'memory', 'per held lock'],
  ['memory per waiter', 'bytes', 'memory', 'per waiter'],
]

export function ratioTable(runs: Runs): string {
  const rows = ratioRows.map(([title, against, name, label]) => {
    const ratios = serverKinds.map((kind) => ratioOf(runs[kind], name, label))
    const bound = ratios.find((ratio) => ratio !== undefined)
    const wanted = bound?.atLeast ? `≥ ${bound.atLeast} ×` : bound?.atMost ? `≤ ${bound.atMost} ×` : ''
    const cells = ratios.map((ratio) =>
      ratio ? `${missed(ratio) ? '**' : ''}${short(ratio.median)} ×${missed(ratio) ? '**' : ''}` : '–',
    )
    return [title, against, ...cells, wanted]
  })
  return table(['Case', 'against', ...serverKinds.map((kind) => titles[kind]), 'wanted'], rows)
}

export function cpuTable(runs: Runs): string {
  const rows = cpuRows.flatMap(([title, name, subjects]) =>
    Object.entries(subjects).map(([label, shown], index) => [
      index === 0 ? title : '',
      shown,
      ...serverKinds.map((kind) => {
        const cpu = figureOf(runs[kind], name, label)?.cpuMedian
        return cpu === undefined ? '–' : short(cpu)
      }),
    ]),
  )
  return table(['Case', 'subject', ...serverKinds.map((kind) => titles[kind])], rows)
}

export function figureTable(runs: Runs): string {
  const rows = figureRows.map(([title, unit, name, label]) => [
    unit ? `${title} (${unit})` : title,
    ...serverKinds.map((kind) => {
      const figures = runs[kind].cases[name]?.figures ?? []
      const figure = figures.find((one) => one.label === label || one.label.startsWith(`${label} (`))
      return figure ? short(figure.median) : '–'
    }),
  ])
  return table(['Figure', ...serverKinds.map((kind) => titles[kind])], rows)
}

export function describeRuns(runs: Runs): string {
  const { versions, machine, redis, placement, rounds } = runs.mysql
  const servers = serverKinds.map((kind) => `${titles[kind]} ${runs[kind].server.version}`).join(', ')
  const parts = [
    servers,
    `Node ${versions['node']?.slice(1)}`,
    `TypeORM ${versions['typeorm']}`,
    `mysql2 ${versions['mysql2']}`,
    `pg ${versions['pg']}`,
    `redlock ${versions['redlock']} on Redis ${redis}`,
    `${machine.cpus} cores (${machine.model}), ${placement}`,
  ]
  const commits = [...new Set(serverKinds.map((kind) => runs[kind].versions['library']))].join(', ')
  return `${parts.join('; ')}. Commit ${commits}; medians of ${rounds} samples of each subject.`
}

function missed({ median, atLeast, atMost }: { median: number; atLeast?: number; atMost?: number }): boolean {
  return (atLeast !== undefined && median < atLeast) || (atMost !== undefined && median > atMost)
}

function short(value: number): string {
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2
  return value.toLocaleString('en-US', { maximumFractionDigits: digits }).replaceAll(',', ' ')
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`)
  return lines.join('\n')
}
