'use strict'

// Mocha's own report. At its end, where a log that was cut still has them: what skipped tests would need, the slowest files, the
// failed tests once more, and one line that a machine can read.
const path = require('node:path')
const { reporters } = require('mocha')

const SLOWEST_FILES = 10

module.exports = class extends reporters.Spec {
  #needs = new Map()
  #durations = new Map()

  constructor(runner, options) {
    super(runner, options)
    runner.on('pending', (test) => {
      const [, title, needs] = / ?(.*) \(needs (.*)\)$/.exec(test.fullTitle()) ?? []
      if (needs) this.#needs.set(needs, [...(this.#needs.get(needs) ?? []), title])
    })
    for (const event of ['test end', 'hook end']) {
      runner.on(event, ({ file, title, duration = 0 }) => {
        // A worker of a parallel run reports a hook around each test with its last duration, once for each test.
        if (file && !title.includes(' each" hook'))
          this.#durations.set(file, (this.#durations.get(file) ?? 0) + duration)
      })
    }
  }

  epilogue() {
    super.epilogue()
    for (const [what, titles] of this.#needs) {
      process.stdout.write(`Skipped, as they need ${what}:\n${titles.map((title) => `  ${title}\n`).join('')}\n`)
    }
    const slowest = [...this.#durations].sort(([, a], [, b]) => b - a).slice(0, SLOWEST_FILES)
    if (slowest.length > 1) {
      const lines = slowest.map(([file, ms]) => `  ${(ms / 1000).toFixed(1)} s  ${path.relative('.', file)}\n`)
      process.stdout.write(`The slowest files:\n${lines.join('')}\n`)
    }
    if (this.failures.length > 0) {
      const titles = this.failures.map(
        (test) => `  ${test.fullTitle()}\n    ${test.err?.message?.split('\n')[0] ?? ''}\n`,
      )
      process.stdout.write(`Failed:\n${titles.join('')}\n`)
    }
    const { passes, failures, pending } = this.stats
    process.stdout.write(`${passes} passed, ${failures} failed${pending ? `, ${pending} skipped` : ''}\n`)
  }
}
