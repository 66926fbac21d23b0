import { expect } from 'chai'
import { DataSource, type DataSourceOptions, type Logger } from 'typeorm'
import { NamedLockTimeoutError } from '../../src/index.js'
import { forEachDialect } from '../support/conformance.js'
import { rejection } from '../support/rejection.js'
import { until } from '../support/until.js'

describe("TypeORM's logger", () => {
  forEachDialect((ctx) => {
    async function logged(logging: DataSourceOptions['logging']): Promise<string[]> {
      const lines: string[] = []
      const silent = () => undefined
      const logger: Logger = {
        log: (level, message) => lines.push(`${level}: ${message}`),
        ...{
          logQuery: silent,
          logQueryError: silent,
          logQuerySlow: silent,
          logSchemaBuild: silent,
          logMigration: silent,
        },
      }
      const { kind, ...address } = ctx.address
      const dataSource = await new DataSource({ type: kind, ...address, logger, logging: logging! }).initialize()
      try {
        const locks = await ctx.service({}, dataSource)
        lines.length = 0
        await locks.withLock('job', async () => {
          await rejection(locks.acquire('taken', { timeout: 30 }), NamedLockTimeoutError)
        })
        const lost = await locks.acquire('lost')
        await ctx.outsider.kill((await ctx.outsider.holderOf(lost.key)) as string)
        await until('the loss', () => !lost.isHeld)
        await locks.close()
      } finally {
        await dataSource.destroy()
      }
      return lines.map((line) => line.replace(/\d+ ms/, 'n ms'))
    }

    beforeEach(() => ctx.outsider.getLock(`${ctx.database}.taken`))
    afterEach(() => ctx.outsider.releaseLock(`${ctx.database}.taken`))

    it('gets lock events where logging asks for info and warn', async () => {
      const lines = await logged(['info', 'warn'])
      expect(lines.slice(0, -1)).to.deep.equal([
        "info: Acquired the lock 'job' after n ms",
        "info: Waiting for the lock 'taken'",
        "info: Gave up on the lock 'taken' after n ms",
        "info: Released the lock 'job' after holding it for n ms",
        "info: Acquired the lock 'lost' after n ms",
      ])
      expect(lines.at(-1)).to.match(/^warn: Lock 'lost' was lost/)
    })

    it('gets none where it does not', async () => {
      expect(await logged(['query', 'error'])).to.deep.equal([])
      expect(await logged(false)).to.deep.equal([])
    })
  })
})
