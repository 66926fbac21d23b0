import { BadRequestException, Body, Controller, Get, Inject, Param, ParseIntPipe, Post } from '@nestjs/common'
import { InjectRepository } from '@nestjs/typeorm'
import { Repository } from 'typeorm'
import { Event } from './entities/event.js'
import type { Order } from './entities/order.js'
import { OrderService } from './order.service.js'
import { PaymentService } from './payment.service.js'
import { SettlementService, type SettlementRuns } from './settlement.service.js'

@Controller()
export class ShopController {
  constructor(
    @InjectRepository(Event) private readonly catalogue: Repository<Event>,
    @Inject(OrderService) private readonly orders: OrderService,
    @Inject(PaymentService) private readonly payments: PaymentService,
    @Inject(SettlementService) private readonly settlement: SettlementService,
  ) {}

  @Get('events')
  events(): Promise<Event[]> {
    return this.catalogue.find({ order: { id: 'ASC' } })
  }

  @Post('orders')
  order(@Body() { eventId, customer }: { eventId?: unknown; customer?: unknown }): Promise<Order> {
    if (typeof eventId !== 'number' || typeof customer !== 'string' || customer.length > 100) {
      throw new BadRequestException('An order is like { "eventId": 1, "customer": "Ann" }')
    }
    return this.orders.buy(eventId, customer)
  }

  @Post('orders/:id/payment')
  pay(@Param('id', ParseIntPipe) id: number): Promise<Order> {
    return this.payments.pay(id)
  }

  @Get('settlement')
  settlementRuns(): SettlementRuns {
    return this.settlement.runs
  }
}
