import { Injectable } from '@nestjs/common'
import { SchedulerRegistry } from '@nestjs/schedule'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import type { LeaderTerm, NamedLockService } from 'typeorm-named-lock'
import { WhileLeader } from 'typeorm-named-lock/nestjs'

declare const locks: NamedLockService
declare function tick(signal: AbortSignal): Promise<void>
declare function fetchMails(signal: AbortSignal): Promise<void>
declare function collectMetrics(): Promise<void>
