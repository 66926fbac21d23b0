'use strict'

// What the package does for an application that requires it. Prints what came out as one line of JSON.
const { readFileSync } = require('node:fs')
const { DataSource } = require('typeorm')
const { InvalidLockNameError, NamedLock, NamedLockService, WithNamedLock } = require('typeorm-named-lock')

const typeormVersion = JSON.parse(readFileSync('node_modules/typeorm/package.json', 'utf8')).version

async function main() {
  const dataSource = await new DataSource({ type: 'mysql', url: process.env.DATABASE_URL }).initialize()
  const locks = new NamedLockService(dataSource)

  class Jobs {
    constructor() {
      this.locks = locks
    }
    async run() {
      return NamedLock.assertHeld('jobs').isHeld && (await locks.isLocked('jobs'))
    }
  }
  const run = Object.getOwnPropertyDescriptor(Jobs.prototype, 'run')
  Object.defineProperty(Jobs.prototype, 'run', WithNamedLock('jobs', '5s')(Jobs.prototype, 'run', run) ?? run)

  console.log(
    JSON.stringify({
      versions: [process.versions.node, typeormVersion],
      decorated: await new Jobs().run(),
      freeAfter: !(await locks.isLocked('jobs')),
      several: await locks.withLock(['a', 'b'], (lock) => lock.names),
      transaction: await locks.transaction('stock', (manager) => manager.queryRunner.isTransactionActive),
      error: await locks.withLock('', () => {}).catch((error) => error instanceof InvalidLockNameError && error.code),
    }),
  )
  await locks.close()
  await dataSource.destroy()
}

main().catch((error) => {
  console.error(error)
  process.exit(1)
})
