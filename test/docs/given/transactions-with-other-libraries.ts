import { Repository } from 'typeorm'
import { Propagation, Transactional } from 'typeorm-transactional'
import { NamedLockService, WithNamedLock } from 'typeorm-named-lock'
declare const locks: NamedLockService
declare class Stock {
  id: number
  left: number
}
declare class Entry {
  what: string
}
declare const audit: { write(what: string): Promise<void> }
