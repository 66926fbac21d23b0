import { expect } from 'chai'
import { after, before, describe, it } from 'mocha'
import * as library from '../../src/index.js'
import { Examples, Page } from './page.js'

const page = new Page('docs/nestjs.md')

/** What the examples after the first take as given. */
const given = `
import {
  Catch, Injectable, Module, ServiceUnavailableException, type ArgumentsHost, type DynamicModule,
} from '@nestjs/common'
import { APP_FILTER, BaseExceptionFilter, NestFactory } from '@nestjs/core'
import { Cron } from '@nestjs/schedule'
import { Test } from '@nestjs/testing'
import { InjectDataSource, InjectRepository, TypeOrmModule } from '@nestjs/typeorm'
import { rejects } from 'node:assert/strict'
import { DataSource, Repository, type DataSourceOptions } from 'typeorm'
import {
  NamedLockClosedError, NamedLockService, NamedLockTimeoutError, parseDuration, WithNamedLock,
  type NamedLockError, type NamedLockServiceOptions,
} from 'typeorm-named-lock'
import { InjectNamedLocks, NamedLockModule, type NamedLockOptionsFactory } from 'typeorm-named-lock/nestjs'
import { InMemoryNamedLockService } from 'typeorm-named-lock/testing'
import { AppModule, OrderService } from './example-1.js'
declare class ConfigModule {}
declare class ConfigService { get(name: string): string }
declare class Seat { eventId: number; number: number }
declare const main: DataSourceOptions
declare const reporting: DataSourceOptions
declare function settleOrders(): Promise<void>
`

describe('docs/nestjs.md', function () {
  this.timeout(60_000)
  let examples: Examples

  before('write its examples down', async () => {
    const [first = '', ...others] = page.blocks('ts')
    examples = await Examples.write([
      `${first}\ndeclare function charge(id: number): Promise<void>`,
      ...others.map(
        (text) => `${given}export async function example() {\n${text.replaceAll('export class', 'class')}\n}`,
      ),
    ])
  })

  after(() => examples.remove())

  it('has examples that compile', () => {
    expect(examples.problems()).to.equal('')
  })

  it('links to what exists', () => {
    expect(page.brokenLinks()).to.deep.equal([])
  })

  it('names only methods that there are', () => {
    expect(page.methods).to.include('runMigrations')
    for (const method of page.methods) {
      if (method === 'holdElsewhere') continue // of the double
      expect(library.NamedLockService.prototype).to.respondTo(method)
    }
  })
})
