import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { NestFactory } from '@nestjs/core'
import { getDataSourceToken, TypeOrmModule } from '@nestjs/typeorm'
import { expect } from 'chai'
import 'reflect-metadata'
import type * as typeorm from 'typeorm'
import type { DataSourceOptions, MigrationInterface, QueryRunner } from 'typeorm'
import ts from 'typescript'
import { attempt } from '../../dev/servers/run.js'
import {
  NamedLock,
  NamedLockConfigurationError,
  NamedLockService,
  NamedLockTimeoutError,
  type NamedLockServiceOptions,
} from '../../src/index.js'
import { nodeCompiled } from '../support/compiled.js'
import { rejection } from '../support/rejection.js'
import { Page } from '../docs/page.js'
import { borrowedConnections, type DataSource } from '../support/typeorms.js'
import { settlesWithin, until } from '../support/until.js'
import { forEachDatabase } from './support/each-database.js'

class Create1700000000001 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('CREATE TABLE created (id INT)')
  }
  async down(): Promise<void> {}
}

class Fail1700000000002 implements MigrationInterface {
  async up(): Promise<void> {
    throw new Error('this migration fails')
  }
  async down(): Promise<void> {}
}

type Migrations = (new () => MigrationInterface)[]

describe('runMigrations', () => {
  forEachDatabase((ctx) => {
    const key = () => ctx.keyOf('migrations:migrations')

    beforeEach(async () => {
      const tables = ctx.sql('DATABASE', 'SCHEMA')
      await ctx.outsider.query(`DROP ${tables} ${ctx.database}${ctx.sql('', ' CASCADE')}`)
      await ctx.outsider.query(`CREATE ${tables} ${ctx.database}`)
    })

    /** What an application gives to `new DataSource`. */
    function optionsOf(migrations: Migrations, more: object = {}): DataSourceOptions {
      const { kind, ...address } = ctx.address
      return { type: kind as 'mysql', ...address, migrations, ...more }
    }

    async function using<T>(
      migrations: Migrations,
      more: { service?: NamedLockServiceOptions; dataSource?: object },
      work: (locks: NamedLockService, dataSource: DataSource) => Promise<T>,
    ): Promise<T> {
      const dataSource = await new ctx.typeorm.module.DataSource(optionsOf(migrations, more.dataSource)).initialize()
      const locks = new NamedLockService(dataSource, more.service)
      try {
        return await work(locks, dataSource)
      } finally {
        await locks.close()
        await dataSource.destroy()
      }
    }

    it('applies each migration once when five processes start on an empty schema', async () => {
      const children = [1, 2, 3, 4, 5].map(() => ctx.startChild('migrate.ts', { name: 'migrations' }))
      await Promise.all(children.map((child) => child.next('ready', 60_000)))
      for (const child of children) child.send({ type: 'start' })
      const applied = await Promise.all(
        children.map(async (child) => (await child.next('applied', 60_000)).names as string[]),
      )
      const all = ['First1700000000001', 'Second1700000000002']
      expect(applied.filter((names) => names.length > 0)).to.deep.equal([all])
      for (const { code } of await Promise.all(children.map((child) => child.exited))) expect(code).to.equal(0)
      expect(Number(await ctx.outsider.value(`SELECT COUNT(*) FROM ${ctx.database}.migrations`))).to.equal(2)
    }).timeout(120_000)

    it('lets the next one in when one dies in the middle', async () => {
      const settings = { name: 'migrations' }
      const first = ctx.startChild('migrate.ts', { ...settings, pause: true, crash: true })
      await first.next('ready', 60_000)
      first.send({ type: 'start' })
      await first.next('inside')
      const second = ctx.startChild('migrate.ts', settings)
      await second.next('ready', 60_000)
      second.send({ type: 'start' })
      await until(
        'the second to wait',
        async () => (await ctx.outsider.userLocksOf(ctx.database)).some(({ status }) => status === 'PENDING'),
        { within: 15_000 },
      )
      first.expectExit(1)
      first.send({ type: 'go' })
      expect((await second.next('applied')).names).to.deep.equal(['Second1700000000002'])
      expect((await second.exited).code).to.equal(0)
    }).timeout(120_000)

    it('gives the lock back when a migration fails, with its very error', async () => {
      const quiet = { dataSource: { logger: 'debug' } }
      await using([Create1700000000001, Fail1700000000002], quiet, async (locks) => {
        const error = await rejection(locks.runMigrations({ transaction: 'each' }))
        expect(error.message).to.equal('this migration fails')
        expect(await ctx.outsider.holderOf(key())).to.equal(null)
      })
      await using([Create1700000000001], {}, async (locks) => {
        expect(await locks.runMigrations()).to.deep.equal([])
      })
    })

    it("hands TypeORM's own options on", async () => {
      await using([Create1700000000001], {}, async (locks) => {
        await locks.runMigrations({ fake: true })
      })
      expect(Number(await ctx.outsider.value(`SELECT COUNT(*) FROM ${ctx.database}.migrations`))).to.equal(1)
      const created = await ctx.outsider.query(
        `SELECT 1 FROM information_schema.tables WHERE table_schema = '${ctx.database}' AND table_name = 'created'`,
      )
      expect(created).to.have.length(0)
    })

    it('waits longer than other calls, unless told, and can be aborted', async () => {
      await ctx.outsider.getLock(key())
      await using([Create1700000000001], { service: { timeout: 100 } }, async (locks) => {
        await rejection(locks.runMigrations({ timeout: 100 }), NamedLockTimeoutError)
        const controller = ctx.abortController()
        const reason = new Error('enough')
        const aborted = rejection(locks.runMigrations({ signal: controller.signal }))
        controller.abort(reason)
        expect(await aborted).to.equal(reason)
        let heard = 0
        locks.on('timedOut', () => heard++)
        const patient = locks.runMigrations()
        await rejection(locks.acquire('migrations:migrations'), NamedLockTimeoutError)
        expect(heard).to.equal(1)
        await ctx.outsider.releaseLock(key())
        expect(await settlesWithin(5_000, 'the patient one', patient)).to.have.length(1)
        await rejection(locks.runMigrations(null as never), NamedLockConfigurationError)
      })
    })

    it('does not wait for migrations with another table', async () => {
      await ctx.outsider.getLock(key())
      await using([Create1700000000001], { dataSource: { migrationsTableName: 'ours' } }, async (locks) => {
        expect(await settlesWithin(3_000, 'the migrations', locks.runMigrations())).to.have.length(1)
      })
      await ctx.outsider.releaseLock(key())
    })

    it('runs with a pool of one, when the locks have connections of their own', async () => {
      const more = { service: { connections: 'own' as const }, dataSource: { poolSize: 1 } }
      await using([Create1700000000001], more, async (locks) => {
        expect(await settlesWithin(5_000, 'the migrations', locks.runMigrations())).to.have.length(1)
        expect(await locks.runMigrations()).to.deep.equal([])
      })
    })

    it("is for Nest's dataSourceFactory, as docs/transactions.md has it: three applications start at once", async () => {
      const options = optionsOf([Create1700000000001], { migrationsRun: false })
      const dataSourceFactory = factoryOfTheDocs(ctx.typeorm.module)
      const AppModule = class {}
      const start = () => {
        const database = TypeOrmModule.forRootAsync({ useFactory: () => options, dataSourceFactory })
        return NestFactory.createApplicationContext({ module: AppModule, imports: [database] }, { logger: false })
      }
      const applications = await Promise.all([start(), start(), start()])
      for (const application of applications) {
        const dataSource = application.get<DataSource>(getDataSourceToken())
        expect(dataSource).to.be.instanceOf(ctx.typeorm.module.DataSource)
        expect(await dataSource.query('SELECT * FROM created')).to.deep.equal([])
        expect(borrowedConnections(dataSource)).to.equal(0)
        await application.close()
        expect(dataSource.isInitialized).to.equal(false)
      }
      expect(Number(await ctx.outsider.value(`SELECT COUNT(*) FROM ${ctx.database}.migrations`))).to.equal(1)
    })

    it('is for a class that overrides runMigrations, as the docs have it: three start at once with migrationsRun', async () => {
      const AppDataSource = classOfTheDocs(ctx.typeorm.module)
      const options = optionsOf([Create1700000000001], { migrationsRun: true, poolSize: 1 })
      const dataSources = [1, 2, 3].map(() => new AppDataSource(options))
      await settlesWithin(10_000, 'the three', Promise.all(dataSources.map((one) => one.initialize())))
      for (const dataSource of dataSources) {
        expect(await dataSource.query('SELECT * FROM created')).to.deep.equal([])
        await dataSource.destroy()
      }
      expect(Number(await ctx.outsider.value(`SELECT COUNT(*) FROM ${ctx.database}.migrations`))).to.equal(1)
    })

    it("is for TypeORM's own command with that class: two run at once", async () => {
      const folder = await mkdtemp(path.join(__dirname, 'tmp-'))
      try {
        const file = path.join(folder, 'data-source.ts')
        const { kind: type, ...address } = ctx.address
        const lines = [
          `import { DataSource, type Migration, type QueryRunner } from '${ctx.typeorm.packageName}'`,
          `import { NamedLock, NamedLockService } from '../../../src/index.js'`,
          docsBlock(/^class AppDataSource/),
          `class Create1700000000001 {`,
          `  up = (runner: QueryRunner) => runner.query('CREATE TABLE created (id INT)')`,
          `  async down() {}`,
          `}`,
          `export default new AppDataSource({ ...${JSON.stringify({ type, ...address })}, poolSize: 1, migrations: [Create1700000000001] } as any)`,
        ]
        await writeFile(file, lines.join('\n'))
        const command = require.resolve(`${ctx.typeorm.packageName}/cli.js`)
        const run = () => attempt([...nodeCompiled, command, 'migration:run', '-d', file])
        const ends = await Promise.all([run(), run()])
        expect(ends.map(({ code }) => code)).to.deep.equal([0, 0], ends.map(({ output }) => output).join('\n'))
        const outputs = ends.map(({ output }) => output).join('\n')
        expect(outputs).to.match(/Create1700000000001 has been +executed successfully/)
        expect(outputs).to.match(/No migrations are pending/)
      } finally {
        await rm(folder, { recursive: true })
      }
    }).timeout(60_000)

    it("leaves no DataSource behind when Nest's dataSourceFactory fails", async () => {
      const dataSourceFactory = factoryOfTheDocs(ctx.typeorm.module)
      const error = await rejection(dataSourceFactory(optionsOf([Fail1700000000002], { logger: 'debug' })))
      expect(error.message).to.equal('this migration fails')
      await until('its connections to end', async () => (await ctx.outsider.connectionsOf(ctx.database)).length === 0)
    })
  })
})

type DataSourceFactory = (options?: DataSourceOptions) => Promise<DataSource>

/** The very text of the documentation, with the TypeORM that is under test. */
function factoryOfTheDocs(major: typeof typeorm): DataSourceFactory {
  return evaluated(`${docsBlock(/^async function dataSourceFactory/)}\nreturn dataSourceFactory`, major)
}

function classOfTheDocs(major: typeof typeorm): typeof typeorm.DataSource {
  return evaluated(`${docsBlock(/^class AppDataSource/)}\nreturn AppDataSource`, major)
}

function docsBlock(start: RegExp): string {
  const text = new Page('docs/transactions.md').blocks('ts').find((block) => start.test(block))
  if (text === undefined) throw new Error(`docs/transactions.md has no example that begins with ${String(start)}`)
  return text
}

function evaluated<T>(text: string, { DataSource: Major }: typeof typeorm): T {
  const { outputText } = ts.transpileModule(text, { compilerOptions: { target: ts.ScriptTarget.ES2022 } })
  // eslint-disable-next-line @typescript-eslint/no-implied-eval -- text of this project
  const make = new Function('DataSource', 'NamedLockService', 'NamedLock', outputText)
  return make(Major, NamedLockService, NamedLock) as T
}
