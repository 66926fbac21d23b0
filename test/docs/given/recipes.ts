import cluster from 'node:cluster'
import { Cron } from '@nestjs/schedule'
import { DataSource } from 'typeorm'
import { NamedLockService, WithNamedLock } from 'typeorm-named-lock'

/** BullMQ's worker, as far as the example needs it. */
declare class Worker {
  constructor(queue: string, work: (job: { data: { customer: string } }) => Promise<void>)
}
interface Response {
  status(code: number): Response
  json(body: object): void
}
declare const app: { get(path: string, handler: (request: object, response: Response) => Promise<void>): void }
declare class Position {}
declare const dataSource: DataSource
declare const locks: NamedLockService
declare function deleteOldRows(): Promise<void>
declare function callConverter(file: string, signal: AbortSignal): Promise<Buffer>
declare function askTheProvider(address: string): Promise<Position>
declare function pagesOf(customer: string, options: { signal: AbortSignal }): AsyncIterable<Buffer>
declare function upload(page: Buffer, options: { signal: AbortSignal }): Promise<void>
declare function runJobs(signal: AbortSignal): Promise<void>
declare function makeInvoice(customer: string): Promise<void>
