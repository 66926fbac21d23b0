'use strict'

// Mocha's own report, closed by one line that a machine can read.
const { reporters } = require('mocha')

module.exports = class extends reporters.Spec {
  epilogue() {
    super.epilogue()
    const { passes, failures, pending } = this.stats
    process.stdout.write(`${passes} passed, ${failures} failed${pending ? `, ${pending} skipped` : ''}\n`)
  }
}
