import Table from 'cli-table3'
import pc from 'picocolors'
import type { BenchCase } from './bench-case.js'
import type { CaseReport, Check, Figure, Ratio } from './report.js'
import { median } from './statistics.js'

/** Lines above and below the head and at the end, none between the rows. */
const withoutLines = { 'top-mid': '─', 'mid-mid': '', 'left-mid': '', mid: '', 'right-mid': '', middle: ' ' }

export function meets(ratio: Ratio): boolean | undefined {
  const middle = median(ratio.samples)
  if (ratio.atLeast !== undefined) return middle >= ratio.atLeast
  if (ratio.atMost !== undefined) return middle <= ratio.atMost
  return undefined
}

export function printCase({ name, title }: BenchCase, report: CaseReport): void {
  const head = [`${title} [${name}]`, 'median', 'least … most', 'CPU µs', 'wanted', '']
  const table = new Table({ head: head.map(pc.bold), chars: withoutLines, style: { head: [], border: [] } })
  for (const figure of report.figures) table.push(figureRow(figure))
  for (const ratio of report.ratios) table.push(ratioRow(ratio))
  for (const check of report.checks) table.push(checkRow(check))
  process.stdout.write(`${table.toString()}\n`)
  for (const note of report.notes) process.stdout.write(`  ${note}\n`)
}

function figureRow({ label, unit, samples, cpu }: Figure): string[] {
  return [label, `${readable(median(samples))} ${unit}`, range(samples), cpu ? readable(median(cpu)) : '', '', '']
}

function ratioRow(ratio: Ratio): string[] {
  const { label, samples, atLeast, atMost } = ratio
  const bound = atLeast !== undefined ? `≥ ${atLeast} ×` : atMost !== undefined ? `≤ ${atMost} ×` : ''
  return [pc.bold(label), `${median(samples).toFixed(2)} ×`, range(samples), '', bound, mark(meets(ratio))]
}

function checkRow({ label, ok, detail }: Check): string[] {
  return [label, detail, '', '', '', mark(ok)]
}

function range(samples: readonly number[]): string {
  return samples.length > 1 ? `${readable(Math.min(...samples))} … ${readable(Math.max(...samples))}` : ''
}

function mark(ok: boolean | undefined): string {
  return ok === undefined ? '' : ok ? pc.green('pass') : pc.red('MISS')
}

function readable(value: number): string {
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2
  return value.toLocaleString('en-US', { maximumFractionDigits: digits }).replaceAll(',', ' ')
}
