/** Something measured, once per round. */
export interface Figure {
  readonly label: string
  readonly unit: string
  readonly samples: readonly number[]
}

/** Two subjects compared, once per round; the median is judged against the bound, where there is one. */
export interface Ratio {
  readonly label: string
  readonly samples: readonly number[]
  readonly atLeast?: number
  readonly atMost?: number
}

/** Something that must be so. Without `required` a failure is reported, but is no bug of the library. */
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

/** Collects what a case finds, in the order in which it is printed. */
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

  /** A bound on a figure that is no ratio. */
  bound(label: string, ok: boolean, detail: string): void {
    this.checks.push({ label, ok, detail, kind: 'bound' })
  }

  note(line: string): void {
    this.notes.push(line)
  }
}
