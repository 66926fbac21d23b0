import { NamedLockService } from 'typeorm-named-lock'
import { DataSource } from 'typeorm'
declare const locks: NamedLockService
declare const master: { url: string }
declare const slaves: { url: string }[]
