import type { Finding } from '../contract/lock-info.js'

/** What one question of the probe has found; undefined where the server does as it should. */
export type ProbeFinding = Promise<Finding | undefined>

const USE_ANOTHER = 'Use a MySQL, MariaDB or PostgreSQL server for locks: a DataSource of its own is enough.'

function error(code: string, message: string, remedy = USE_ANOTHER): Finding {
  return { code, severity: 'error', message, remedy }
}

/** The findings of the probe: one for each promise that a server can break. */
export const findings = {
  SEVERAL_SERVERS: (first: string, second: string) =>
    error(
      'SEVERAL_SERVERS',
      `Two connections of the DataSource reached two servers (${first} and ${second}). Named locks live on one server and exclude no caller on the other.`,
      'Point the DataSource at a single server: the primary.',
    ),
  LOCKS_REFUSED: (answer: string) =>
    error('LOCKS_REFUSED', `The server did not grant a lock that was free: it answered ${answer}.`),
  LOCKS_NOT_EXCLUSIVE: () =>
    error(
      'LOCKS_NOT_EXCLUSIVE',
      'Two sessions got one lock at the same time: named locks of this server exclude no caller.',
    ),
  TRY_BLOCKS: (milliseconds: number) =>
    error(
      'TRY_BLOCKS',
      `A try for a lock that is held took ${Math.round(milliseconds)} ms longer than other statements. The shared session must never block: all locks of a process would wait with it.`,
    ),
  HOLDER_UNKNOWN: (answer: string, holder: string) =>
    error(
      'HOLDER_UNKNOWN',
      `The server does not give the holder of a lock: it answered ${answer === '' ? 'nothing' : answer} where connection ${holder} had it. After a failed statement the library could not determine which locks it owns.`,
    ),
  EXPRESSIONS_REFUSED: (answer: string) =>
    error(
      'EXPRESSIONS_REFUSED',
      `The server does not evaluate lock functions inside of an expression as it should: it answered ${answer} instead of 1/1.`,
    ),
  LOCKS_OUTLIVE_SESSIONS: (milliseconds: number) =>
    error(
      'LOCKS_OUTLIVE_SESSIONS',
      `The connection of a holder was closed, and its lock was still held ${milliseconds / 1000} s later: the locks of a process that dies stay.`,
      `If a proxy is in between, it keeps connections of the server open: connect past it. Otherwise: ${USE_ANOTHER}`,
    ),
  LEASE_NOT_ENFORCED: (seconds: number, milliseconds: number) =>
    error(
      'LEASE_NOT_ENFORCED',
      `The server took a limit of ${seconds} s for a silent session, and had not ended it after ${milliseconds / 1000} s: it would keep the locks of a vanished client.`,
      'If a proxy is in between, connect past it. Otherwise use another server for locks, or accept that with allowNoLease: true.',
    ),
  PROBE_INCOMPLETE: (reason: string): Finding => ({
    code: 'PROBE_INCOMPLETE',
    severity: 'info',
    message: `Whether locks exclude other sessions, show their holder and end with their session was not checked to the end: ${reason}. The check needs two connections of its own for a moment, beside the pool.`,
    remedy: 'Run it again where the server, the account and a pooler in between allow two more connections.',
  }),
}
