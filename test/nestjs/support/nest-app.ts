import 'reflect-metadata'
import type { INestApplicationContext, ModuleMetadata } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { TypeOrmModule, type TypeOrmModuleOptions } from '@nestjs/typeorm'
import type { Conformance } from '../../support/conformance.js'

/** The test's database as options of TypeOrmModule. */
export function optionsFor(
  { address: { kind: type, ...address } }: Conformance,
  more: Partial<TypeOrmModuleOptions> & { database?: string; poolSize?: number } = {},
): TypeOrmModuleOptions {
  return { type, ...address, retryAttempts: 0, ...more } as TypeOrmModuleOptions
}

/** TypeOrmModule on the test's database. */
export function database(
  ctx: Conformance,
  more: Parameters<typeof optionsFor>[1] = {},
): ReturnType<typeof TypeOrmModule.forRoot> {
  return TypeOrmModule.forRoot(optionsFor(ctx, more))
}

/** Starts an application without a web server. An error in its start is a rejection. */
export async function start(module: ModuleMetadata): Promise<INestApplicationContext> {
  const App = class {}
  return NestFactory.createApplicationContext({ module: App, ...module }, { logger: false, abortOnError: false })
}

/** Like `start`, for the duration of a test. */
export async function withApp(
  module: ModuleMetadata,
  use: (app: INestApplicationContext) => Promise<void>,
): Promise<void> {
  const app = await start(module)
  try {
    await use(app)
  } finally {
    await app.close()
  }
}
