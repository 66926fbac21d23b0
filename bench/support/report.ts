import type { Throughput } from './load.js'
import { pairwise } from './statistics.js'

/** A measurement, once per round. */
export interface Figure {
  readonly label: string
  readonly unit: string
  readonly samples: readonly number[]
  /** Beside a rate: microseconds of CPU per turn, in the processes of the subject. */
  readonly cpu?: readonly number[]
}

/** The ratio of two subjects, once per round; the median is checked against the bound, if there is one. */
export interface Ratio {
  readonly label: string
  readonly samples: readonly number[]
  readonly atLeast?: number
  readonly atMost?: number
}

/** A condition that must hold. Without `required` a failure is reported, but is no bug of the library. */
export interface Check {
  readonly label: string
  readonly ok: boolean
  readonly detail: string
  /** Correctness: a failure fails the run. Otherwise a figure with a bound. */
  readonly kind: 'correctness' | 'bound'
}

/** The ratio that is wanted. */
export interface Bound {
  readonly atLeast?: number
  readonly atMost?: number
}

export interface CaseReport {
  readonly figures: readonly Figure[]
  readonly ratios: readonly Ratio[]
  readonly checks: readonly Check[]
  readonly notes: readonly string[]
}

/** Collects the findings of a case, in the order in which they are printed. */
export class Findings implements CaseReport {
  readonly figures: Figure[] = []
  readonly ratios: Ratio[] = []
  readonly checks: Check[] = []
  readonly notes: string[] = []

  figure(label: string, unit: string, samples: readonly number[], cpu?: readonly number[]): void {
    this.figures.push({ label, unit, samples, ...(cpu && { cpu }) })
  }

  /** A rate, with the CPU that each turn cost. */
  rate(label: string, unit: string, samples: readonly Throughput[]): void {
    this.figure(
      label,
      unit,
      perSecond(samples),
      samples.map(({ cpu }) => cpu),
    )
  }

  /** The ratio of two rates, round by round. */
  rateRatio(label: string, above: readonly Throughput[], below: readonly Throughput[], bound: Bound = {}): void {
    this.ratio(label, pairwise(perSecond(above), perSecond(below)), bound)
  }

  ratio(label: string, samples: readonly number[], bound: Bound = {}): void {
    this.ratios.push({ label, samples, ...bound })
  }

  /** Correctness: a failure fails the run. */
  must(label: string, ok: boolean, detail: string): void {
    this.checks.push({ label, ok, detail, kind: 'correctness' })
  }

  /** A bound on a figure other than a ratio. */
  bound(label: string, ok: boolean, detail: string): void {
    this.checks.push({ label, ok, detail, kind: 'bound' })
  }

  note(line: string): void {
    this.notes.push(line)
  }
}

const perSecond = (samples: readonly Throughput[]): number[] => samples.map((sample) => sample.perSecond)
