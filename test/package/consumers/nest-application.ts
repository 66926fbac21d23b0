import 'reflect-metadata'
import { Injectable, Module } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { Cron, ScheduleModule, SchedulerRegistry } from '@nestjs/schedule'
import { Test } from '@nestjs/testing'
import { TypeOrmModule } from '@nestjs/typeorm'
import { DataSource, Repository } from 'typeorm'
import { NamedLock, NamedLockClosedError, NamedLockService, WithNamedLock } from 'typeorm-named-lock'
import { InjectNamedLocks, NamedLockModule, type NamedLockOptionsFactory } from 'typeorm-named-lock/nestjs'
import { InMemoryNamedLockService } from 'typeorm-named-lock/testing'

/** Injected by type alone: what the compiler's decorator metadata say. */
@Injectable()
class Orders {
  constructor(
    readonly locks: NamedLockService,
    readonly dataSource: DataSource,
    @InjectNamedLocks('reports') readonly reports: NamedLockService,
  ) {}

  @WithNamedLock((id) => `order:${id}`, '5s', { locks: (self) => self.locks })
  async pay(id: number): Promise<string | undefined> {
    return NamedLock.current(`order:${id}`)?.key
  }
}

@Injectable()
class Jobs {
  ran: string | undefined
  constructor(private readonly locks: NamedLockService) {}

  @Cron('0 0 1 1 *', { name: 'yearly' })
  @WithNamedLock('job', 0, { onBusy: 'skip' })
  async run(): Promise<void> {
    this.ran = NamedLock.current()?.name
  }
}

@Injectable()
class Options implements NamedLockOptionsFactory {
  createNamedLockOptions(dataSource?: string) {
    return { namespace: `of-${dataSource}`, timeout: '5s' } as const
  }
}

const database = { type: 'mysql', url: process.env.DATABASE_URL, retryAttempts: 0 } as const

@Module({
  imports: [
    TypeOrmModule.forRoot(database),
    TypeOrmModule.forRoot({ name: 'reports', ...database }),
    NamedLockModule.forRoot({ namespace: 'shop' }),
    NamedLockModule.forRootAsync({ useClass: Options, dataSource: 'reports' }),
    ScheduleModule.forRoot(),
  ],
  providers: [Orders, Jobs],
})
class AppModule {}

@Module({ imports: [NamedLockModule.forRoot({ namespace: 'shop' })] })
class SecondImport {}

@Module({ imports: [AppModule, SecondImport] })
class Root {}

class Seats extends Repository<object> {
  @WithNamedLock('seats')
  async key(): Promise<string | undefined> {
    return NamedLock.current()?.key
  }
}

async function start(): Promise<Record<string, unknown>> {
  const app = await NestFactory.createApplicationContext(Root, { logger: ['error'], abortOnError: false })
  const { dataSource, locks, reports, ...orders } = app.get(Orders)
  const held = await locks.acquire('held')
  app.get(SchedulerRegistry).getCronJob('yearly').fireOnTick()
  const seen = {
    paid: await app.get(Orders).pay(42),
    others: Object.keys(orders),
    shared: NamedLockService.for(dataSource) === locks && app.get(NamedLockService) === locks,
    seats: await new Seats(class {}, dataSource.manager).key(),
    reports: await reports.withLock('r', (lock) => lock.key),
    job: await until(() => app.get(Jobs).ran),
  }
  let closing: Promise<void> | undefined
  const kept = await reports.withLock('r', async (lock) => {
    closing = app.close()
    await new Promise((resolve) => setTimeout(resolve, 100))
    return lock.verify()
  })
  await closing
  const late = await locks
    .acquire('late')
    .catch((error: unknown) => error instanceof NamedLockClosedError && error.code)
  return { ...seen, kept, late, held: held.isHeld, connected: dataSource.isInitialized }
}

async function test(): Promise<Record<string, unknown>> {
  const locks = new InMemoryNamedLockService()
  const module = await Test.createTestingModule({ imports: [NamedLockModule.forRoot()], providers: [Jobs] })
    .overrideProvider(NamedLockService)
    .useValue(locks)
    .compile()
  const app = await module.init()
  const overridden = app.get(NamedLockService) === locks
  await app.close()
  return { overridden, closed: await locks.acquire('x').catch(({ code }: { code: string }) => code) }
}

async function until<T>(look: () => T): Promise<T> {
  while (!look()) await new Promise((resolve) => setTimeout(resolve, 10))
  return look()
}

async function main(): Promise<void> {
  console.log(JSON.stringify({ ...(await start()), ...(await test()) }))
}

void main()
