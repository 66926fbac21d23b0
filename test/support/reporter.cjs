'use strict'

// Mocha's own report, with what skipped tests would need, closed by one line that a machine can read.
const { reporters } = require('mocha')

module.exports = class extends reporters.Spec {
  #needs = new Map()

  constructor(runner, options) {
    super(runner, options)
    runner.on('pending', (test) => {
      const [, title, needs] = / ?(.*) \(needs (.*)\)$/.exec(test.fullTitle()) ?? []
      if (needs) this.#needs.set(needs, [...(this.#needs.get(needs) ?? []), title])
    })
  }

  epilogue() {
    super.epilogue()
    for (const [what, titles] of this.#needs) {
      process.stdout.write(`Skipped, as they need ${what}:\n${titles.map((title) => `  ${title}\n`).join('')}\n`)
    }
    const { passes, failures, pending } = this.stats
    process.stdout.write(`${passes} passed, ${failures} failed${pending ? `, ${pending} skipped` : ''}\n`)
  }
}
