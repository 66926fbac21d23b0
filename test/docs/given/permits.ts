import { NamedLockService, WithNamedLock } from 'typeorm-named-lock'

interface Position {
  readonly x: number
  readonly y: number
}
declare const locks: NamedLockService
declare function askTheProvider(address: string): Promise<Position>
declare function renderOn(port: number): Promise<void>
