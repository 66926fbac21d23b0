import { Module } from '@nestjs/common'
import { APP_FILTER } from '@nestjs/core'
import { ScheduleModule } from '@nestjs/schedule'
import { TypeOrmModule } from '@nestjs/typeorm'
import { databaseOptions, entities } from './database-options.js'
import { LockFilter } from './lock.filter.js'
import { NamedLockModule } from './named-lock.js'
import { OrderService } from './order.service.js'
import { PaymentService } from './payment.service.js'
import { SeatRepository } from './seat.repository.js'
import { settings } from './settings.js'
import { SettlementService } from './settlement.service.js'
import { ShopController } from './shop.controller.js'

@Module({
  imports: [
    TypeOrmModule.forRoot(databaseOptions(settings.databaseUrl)),
    TypeOrmModule.forFeature(entities),
    NamedLockModule.forRoot(settings.locks === 'broken' ? { namespace: `replica-${settings.replica}` } : {}),
    ScheduleModule.forRoot(),
  ],
  controllers: [ShopController],
  providers: [
    OrderService,
    PaymentService,
    SeatRepository,
    SettlementService,
    { provide: APP_FILTER, useClass: LockFilter },
  ],
})
export class ShopModule {}
