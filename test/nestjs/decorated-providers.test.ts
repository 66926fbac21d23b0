import {
  Catch,
  Controller,
  Get,
  Inject,
  Injectable,
  NotAcceptableException,
  Param,
  ParseIntPipe,
  Scope,
  ServiceUnavailableException,
  UseGuards,
  UseInterceptors,
  type ArgumentsHost,
  type CallHandler,
  type CanActivate,
  type ExecutionContext,
  type NestInterceptor,
} from '@nestjs/common'
import { APP_FILTER, BaseExceptionFilter, NestFactory, REQUEST } from '@nestjs/core'
import { Cron, ScheduleModule, SchedulerRegistry } from '@nestjs/schedule'
import { getRepositoryToken, InjectDataSource, InjectRepository, TypeOrmModule } from '@nestjs/typeorm'
import { expect } from 'chai'
import { tap, type Observable } from 'rxjs'
import { Column, DataSource, Entity, PrimaryColumn, Repository } from 'typeorm'
import {
  NamedLock,
  NamedLockService,
  NamedLockTimeoutError,
  WithNamedLock,
  type NamedLockError,
} from '../../src/index.js'
import { NamedLockModule } from '../../src/nestjs/index.js'
import { forEachServer } from '../support/conformance.js'
import { until } from '../support/until.js'
import { database, withApp } from './support/nest-app.js'

const isHeld = () => NamedLock.current()?.isHeld === true
const log: string[] = []

class Guard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    log.push(`guard: ${isHeld()}`)
    return context.switchToHttp().getRequest<{ query: { as?: string } }>().query.as === 'guest'
  }
}

class Around implements NestInterceptor {
  intercept(_context: ExecutionContext, next: CallHandler): Observable<unknown> {
    log.push(`before: ${isHeld()}`)
    return next.handle().pipe(tap(() => log.push(`after: ${isHeld()}`)))
  }
}

@Catch(NamedLockTimeoutError)
class LockFilter extends BaseExceptionFilter {
  override catch(_error: NamedLockError, host: ArgumentsHost): void {
    super.catch(new ServiceUnavailableException(), host)
  }
}

/** One for each request. */
@Injectable({ scope: Scope.REQUEST })
class Basket {
  constructor(
    @Inject(NamedLockService) readonly locks: NamedLockService,
    @Inject(REQUEST) readonly request: { query: { as: string } },
  ) {}

  @WithNamedLock(function (this: Basket) {
    return `basket:${this.request.query.as}`
  })
  async lockName(): Promise<string | undefined> {
    return NamedLock.current()?.name
  }
}

@Controller()
class Orders {
  constructor(
    @Inject(NamedLockService) readonly locks: NamedLockService,
    @Inject(Basket) readonly basket: Basket,
  ) {}

  @WithNamedLock((id) => `order:${id}`, '5s')
  @Get('inside/:id')
  @UseGuards(Guard)
  @UseInterceptors(Around)
  async inside(@Param('id', ParseIntPipe) id: number): Promise<unknown[]> {
    return [id + 1, NamedLock.current()?.name]
  }

  @Get('outside/:id')
  @UseGuards(Guard)
  @UseInterceptors(Around)
  @WithNamedLock((id) => `order:${id}`, '5s')
  async outside(@Param('id', ParseIntPipe) id: number): Promise<unknown[]> {
    return [id + 1, NamedLock.current()?.name]
  }

  @Get('busy')
  @WithNamedLock('busy', 0, {
    onBusy: () => {
      throw new NotAcceptableException()
    },
  })
  async busy(): Promise<void> {}

  @Get('late')
  @WithNamedLock('busy', 0)
  async late(): Promise<void> {}

  @Get('basket')
  async ofRequest(): Promise<unknown> {
    return [await this.basket.lockName()]
  }
}

@Entity()
class Seat {
  @PrimaryColumn('int') id!: number
  @Column('int') sold!: number
}

/** Finds its service by the EntityManager that every repository has. */
@Injectable()
class SeatRepository extends Repository<Seat> {
  constructor(@InjectDataSource() dataSource: DataSource) {
    super(Seat, dataSource.manager)
  }

  @WithNamedLock((id) => `seat:${id}`)
  async sell(id: number): Promise<void> {
    const { sold } = await this.findOneByOrFail({ id })
    await this.update(id, { sold: sold + 1 })
  }
}

/** Finds its service by its DataSource. */
@Injectable()
class Audit {
  constructor(@InjectDataSource() readonly dataSource: DataSource) {}

  @WithNamedLock('audit')
  async run(): Promise<NamedLock | undefined> {
    return NamedLock.current()
  }
}

/** The lock and its transaction, with the application's repositories. */
@Injectable()
class Box {
  constructor(
    @Inject(NamedLockService) readonly locks: NamedLockService,
    @InjectRepository(Seat) readonly seats: Repository<Seat>,
  ) {}

  @WithNamedLock((id) => `seat:${id}`, '5s', { transaction: true })
  async sell(id: number): Promise<void> {
    const seats = this.locks.manager.withRepository(this.seats)
    const { sold } = await seats.findOneByOrFail({ id })
    await seats.update(id, { sold: sold + 1 })
    if (id === 0) throw new Error('sold out')
  }
}

@Injectable()
class Jobs {
  runs: string[] = []
  constructor(@Inject(NamedLockService) readonly locks: NamedLockService) {}

  @Cron('0 0 1 1 *')
  @WithNamedLock('inside', 0, { onBusy: 'skip' })
  async inside(): Promise<void> {
    this.runs.push(`inside: ${NamedLock.current()?.name}`)
  }

  @WithNamedLock('outside', 0, { onBusy: 'skip' })
  @Cron('0 0 1 1 *')
  async outside(): Promise<void> {
    this.runs.push(`outside: ${NamedLock.current()?.name}`)
  }
}

describe('@WithNamedLock in a Nest application', function () {
  this.timeout(60_000)

  forEachServer((ctx) => {
    it('works beside routes, guards, interceptors and pipes, and in request-scoped providers', async () => {
      const app = await NestFactory.create(
        {
          module: class App {},
          imports: [database(ctx), NamedLockModule.forRoot()],
          controllers: [Orders],
          providers: [Basket, { provide: APP_FILTER, useClass: LockFilter }],
        },
        { logger: false, forceCloseConnections: true },
      )
      try {
        await app.listen(0, '127.0.0.1')
        const get = async (path: string): Promise<unknown> => {
          const response = await fetch(`${await app.getUrl()}/${path}`, { headers: { connection: 'close' } })
          return response.ok ? response.json() : response.status
        }
        for (const route of ['inside', 'outside']) {
          log.length = 0
          expect(await get(`${route}/41?as=guest`), route).to.deep.equal([42, 'order:41'])
          expect(log, route).to.deep.equal(['guard: false', 'before: false', 'after: false'])
          expect(await get(`${route}/41`), route).to.equal(403)
          expect(await get(`${route}/x?as=guest`), route).to.equal(400)
        }
        const held = await app.get(NamedLockService).acquire('busy')
        expect(await get('busy')).to.equal(406)
        expect(await get('late')).to.equal(503)
        await held.release()
        const both = await Promise.all([get('basket?as=ann'), get('basket?as=ben')])
        expect(both).to.deep.equal([['basket:ann'], ['basket:ben']])
      } finally {
        await app.close()
      }
    })

    it('finds its service in providers and repositories, and loses no update', async () => {
      const imports = [
        database(ctx, { entities: [Seat], synchronize: true }),
        TypeOrmModule.forFeature([Seat]),
        NamedLockModule.forRoot({ namespace: 'shop' }),
      ]
      await withApp({ imports, providers: [SeatRepository, Audit, Box] }, async (app) => {
        const seats = app.get<Repository<Seat>>(getRepositoryToken(Seat))
        await seats.save([
          { id: 0, sold: 0 },
          { id: 1, sold: 0 },
        ])
        const sellers = [app.get(SeatRepository), app.get(Box)]
        await Promise.all(Array.from({ length: 20 }, (_, index) => sellers[index % 2]!.sell(1)))
        expect(await seats.findOneByOrFail({ id: 1 })).to.include({ sold: 20 })
        await app
          .get(Box)
          .sell(0)
          .then(
            () => expect.fail('it was sold'),
            (error: Error) => expect(error.message).to.equal('sold out'),
          )
        expect(await seats.findOneByOrFail({ id: 0 })).to.include({ sold: 0 })
        expect((await app.get(Audit).run())?.key).to.equal(ctx.keyOf('audit', 'shop'))
        await seats.query('DROP TABLE seat')
      })
    })

    it('lets one of several instances run a scheduled job', async () => {
      const module = {
        imports: [database(ctx), NamedLockModule.forRoot(), ScheduleModule.forRoot()],
        providers: [Jobs],
      }
      await withApp(module, async (app) => {
        const { runs } = app.get(Jobs)
        // Called directly, instead of waiting for the schedule.
        const ran = (run: string) => () => {
          for (const job of app.get(SchedulerRegistry).getCronJobs().values()) void job.fireOnTick()
          return runs.includes(run)
        }
        await ctx.outsider.getLock(`${ctx.database}.outside`)
        await until('a job', ran('inside: inside'), { within: 15_000 })
        expect(runs).to.not.include('outside: outside')
        await ctx.outsider.releaseLock(`${ctx.database}.outside`)
        await until('the other job', ran('outside: outside'), { within: 15_000 })
      })
    })
  })
})
