import {
  Catch,
  Controller,
  Get,
  Injectable,
  Module,
  ServiceUnavailableException,
  type ArgumentsHost,
  type DynamicModule,
} from '@nestjs/common'
import { APP_FILTER, BaseExceptionFilter, NestFactory } from '@nestjs/core'
import { Cron } from '@nestjs/schedule'
import { HealthCheck, HealthCheckService, type HealthCheckResult } from '@nestjs/terminus'
import { Test } from '@nestjs/testing'
import { InjectDataSource, InjectRepository, TypeOrmModule } from '@nestjs/typeorm'
import { rejects } from 'node:assert/strict'
import { DataSource, Repository, type DataSourceOptions } from 'typeorm'
import {
  NamedLockClosedError,
  NamedLockService,
  NamedLockTimeoutError,
  parseDuration,
  WithNamedLock,
  type NamedLockError,
  type NamedLockServiceOptions,
} from 'typeorm-named-lock'
import {
  InjectNamedLocks,
  NamedLockHealthIndicator,
  NamedLockModule,
  type NamedLockOptionsFactory,
} from 'typeorm-named-lock/nestjs'
import { InMemoryNamedLockService } from 'typeorm-named-lock/testing'
import { AppModule, OrderService } from './docs-nestjs-1.js'
declare class ConfigModule {}
declare class ConfigService {
  get(name: string): string
}
declare class Seat {
  eventId: number
  number: number
}
declare const main: DataSourceOptions
declare const reporting: DataSourceOptions
declare function settleOrders(): Promise<void>
