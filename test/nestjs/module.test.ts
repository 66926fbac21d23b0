import { Inject, Injectable, Module } from '@nestjs/common'
import { getDataSourceToken } from '@nestjs/typeorm'
import { expect } from 'chai'
import { DataSource } from 'typeorm'
import { NamedLockConfigurationError, NamedLockError, NamedLockService } from '../../src/index.js'
import { getNamedLockServiceToken, InjectNamedLocks, NamedLockModule } from '../../src/nestjs/index.js'
import type { NamedLockModuleAsyncOptions, NamedLockOptionsFactory } from '../../src/nestjs/index.js'
import { forEachServer } from '../support/conformance.js'
import { rejection } from '../support/rejection.js'
import { database, start, withApp } from './support/nest-app.js'

@Injectable()
class Orders {
  @InjectNamedLocks() readonly property!: NamedLockService
  constructor(
    // The compiler adds this to `locks: NamedLockService`; the runner of the tests emits no types.
    @Inject(NamedLockService) readonly locks: NamedLockService,
    @InjectNamedLocks() readonly same: NamedLockService,
  ) {}
}

@Injectable()
class Reports {
  constructor(@InjectNamedLocks('reports') readonly locks: NamedLockService) {}
}

@Injectable()
class LockOptions implements NamedLockOptionsFactory {
  createNamedLockOptions(dataSource?: string) {
    return Promise.resolve({ namespace: `of-${dataSource ?? 'default'}` })
  }
}

const CONFIG = 'CONFIG'
@Module({
  providers: [{ provide: CONFIG, useValue: { namespace: 'configured' } }, LockOptions],
  exports: [CONFIG, LockOptions],
})
class ConfigModule {}

describe('NamedLockModule', function () {
  this.timeout(60_000)

  it('has a token for each DataSource', () => {
    expect(getNamedLockServiceToken()).to.equal(NamedLockService)
    expect(getNamedLockServiceToken('default')).to.equal(NamedLockService)
    expect(getNamedLockServiceToken('reports')).to.be.a('string').and.not.equal(getNamedLockServiceToken('orders'))
  })

  forEachServer((ctx) => {
    /** If an application fails to start, its DataSource is not destroyed, so the test does it. */
    const idle = () => database(ctx, { manualInitialization: true })

    it('injects the service of the default DataSource everywhere', async () => {
      const options = { timeout: '5s', namespace: 'shop' } as const
      await withApp(
        { imports: [database(ctx), NamedLockModule.forRoot(options)], providers: [Orders] },
        async (app) => {
          const { locks, same, property } = app.get(Orders)
          expect(locks).to.be.instanceOf(NamedLockService)
          expect(locks.options).to.deep.equal(options)
          expect(locks.dataSource).to.equal(app.get(DataSource))
          for (const other of [
            same,
            property,
            app.get(getNamedLockServiceToken()),
            NamedLockService.for(locks.dataSource),
          ]) {
            expect(other).to.equal(locks)
          }
          await locks.withLock('order:1', async () => {
            expect(await ctx.outsider.holderOf('shop.order:1')).to.be.a('string')
          })
        },
      )
    })

    it('gives each named DataSource a service, which exclude each other on one database', async () => {
      const imports = [
        database(ctx),
        database(ctx, { name: 'reports' }),
        database(ctx, { name: 'elsewhere', database: ctx.otherDatabase }),
        NamedLockModule.forRoot(),
        NamedLockModule.forRoot({ timeout: '1m' }, 'reports'),
        NamedLockModule.forRootAsync({ useFactory: () => ({}), dataSource: 'elsewhere' }),
      ]
      await withApp({ imports, providers: [Orders, Reports] }, async (app) => {
        const { locks: orders } = app.get(Orders)
        const { locks: reports } = app.get(Reports)
        const elsewhere = app.get<NamedLockService>(getNamedLockServiceToken('elsewhere'))
        expect(reports.dataSource).to.equal(app.get(getDataSourceToken('reports') as string))
        expect(reports.options).to.deep.equal({ timeout: '1m' })
        await orders.withLock('job', async () => {
          expect(await reports.tryAcquire('job')).to.equal(null)
          await (await elsewhere.acquire('job', { timeout: 0 })).release()
        })
        await (await reports.acquire('job')).release()
      })
    })

    const sources: Record<string, NamedLockModuleAsyncOptions> = {
      'a factory with injected values': {
        imports: [ConfigModule],
        inject: [CONFIG, { token: 'no such provider', optional: true }],
        useFactory: async (config: { namespace: string }, missing: unknown) => ({
          namespace: `${config.namespace}-${String(missing)}`,
        }),
      },
      'a class': { useClass: LockOptions },
      'an existing provider': { useExisting: LockOptions, imports: [ConfigModule] },
    }
    const namespaces = ['configured-undefined', 'of-default', 'of-default']
    Object.entries(sources).forEach(([what, source], index) => {
      it(`has its options from ${what}`, async () => {
        await withApp({ imports: [database(ctx), NamedLockModule.forRootAsync(source)] }, async (app) => {
          expect(app.get(NamedLockService).options).to.deep.equal({ namespace: namespaces[index] })
        })
      })
    })

    it('passes the name of the DataSource to the options class', async () => {
      const locks = NamedLockModule.forRootAsync({ useClass: LockOptions, dataSource: 'reports' })
      await withApp({ imports: [database(ctx, { name: 'reports' }), locks], providers: [Reports] }, async (app) => {
        expect(app.get(Reports).locks.options).to.deep.equal({ namespace: 'of-reports' })
      })
    })

    it('has one service when several modules import it', async () => {
      @Module({ imports: [NamedLockModule.forRoot({ timeout: '5s' })], providers: [Orders] })
      class First {}
      @Module({ imports: [NamedLockModule.forRootAsync({ useFactory: async () => ({ timeout: '5s' }) })] })
      class Second {
        constructor(@Inject(NamedLockService) readonly locks: NamedLockService) {}
      }
      await withApp({ imports: [database(ctx), First, Second] }, async (app) => {
        expect(app.get(Second).locks).to.equal(app.get(Orders).locks)
        const services = app.get(NamedLockService, { each: true, strict: false })
        expect(services).to.have.length(2)
        expect(new Set(services)).to.have.property('size', 1)
      })
    })

    it('refuses different options for one DataSource', async () => {
      const imports = [idle(), NamedLockModule.forRoot({ timeout: 1 }), NamedLockModule.forRoot({ timeout: 2 })]
      const error = await rejection(start({ imports }), NamedLockConfigurationError)
      expect(error.message).to.match(/imported twice.*root module/)
    })

    it('fails the start on wrong options, and if the factory throws', async () => {
      const wrong = NamedLockModule.forRoot({ timeuot: '5s' } as object)
      const unknown = await rejection(start({ imports: [idle(), wrong] }), NamedLockConfigurationError)
      expect(unknown.message).to.contain("'timeuot'")
      const useFactory = async () => Promise.reject(new Error('no configuration'))
      const failing = NamedLockModule.forRootAsync({ useFactory })
      const failed = await rejection(start({ imports: [idle(), failing] }), Error)
      expect(failed.message).to.equal('no configuration')
      const unnamed = await rejection(start({ imports: [idle(), NamedLockModule.forRoot({}, 'reports')] }), Error)
      expect(unnamed.message).to.contain('reportsDataSource')
      expect(() => NamedLockModule.forRootAsync({} as NamedLockModuleAsyncOptions)).to.throw(
        NamedLockConfigurationError,
        'useExisting',
      )
    })

    it('works with a DataSource that is not initialised', async () => {
      const imports = [idle(), NamedLockModule.forRoot()]
      await withApp({ imports }, async (app) => {
        const locks = app.get(NamedLockService)
        await rejection(locks.acquire('early', { timeout: '1s' }), NamedLockError)
        await app.get(DataSource).initialize()
        expect(await locks.withLock('now', (lock) => lock.verify())).to.equal(true)
      })
      await withApp({ imports }, async () => undefined) // closed without having been initialised
    })
  })
})
