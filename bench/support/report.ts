/** A measurement, once per round. */
export interface Figure {
  readonly label: string
  readonly unit: string
  readonly samples: readonly number[]
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

  figure(label: string, unit: string, samples: readonly number[]): void {
    this.figures.push({ label, unit, samples })
  }

  ratio(label: string, samples: readonly number[], bound: { atLeast?: number; atMost?: number } = {}): void {
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
