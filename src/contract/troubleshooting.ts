import type { NamedLockErrorCode } from './error-code.js'

/*
 * Every error message ends in the address of its entry in docs/troubleshooting.md. The package contains that page, so the address is
 * a path that exists in node_modules, and the entry is as old as the error. `test/docs/troubleshooting.test.ts` checks that each
 * error has an entry, and each entry an error.
 */

const PAGE = 'typeorm-named-lock/docs/troubleshooting.md'

/** Reasons with an entry of their own, and the code of their errors. All other errors have the entry of their code. */
export const REASONS = {
  'no-free-connection': 'TIMEOUT',
  'no-answer': 'TIMEOUT',
  'lost-in-commit': 'LOST',
  'not-initialised': 'CONFIGURATION',
  'small-pool': 'CONFIGURATION',
  pooler: 'CONFIGURATION',
  'pooling-transaction': 'CONFIGURATION',
  'several-servers': 'CONFIGURATION',
  'no-lease': 'CONFIGURATION',
  'unfit-server': 'CONFIGURATION',
  'no-service': 'CONFIGURATION',
  namespaces: 'CONFIGURATION',
  'two-versions': 'CONFIGURATION',
  'max-locks': 'CONFIGURATION',
  'missing-table': 'CONFIGURATION',
  'ended-by-statement': 'CONFIGURATION',
  'mode-mixed': 'CONFIGURATION',
  'rolled-back': 'DATABASE',
  grants: 'DATABASE',
} as const satisfies Readonly<Record<string, NamedLockErrorCode>>

export type Reason = keyof typeof REASONS

const ADDRESS = new RegExp(` See ${PAGE}#([a-z-]+)`, 'g')

/** A message that ends in the address of that reason's entry, which the error's class then leaves as it is. */
export function because(reason: Reason, message: string): string {
  return `${sentence(message)} See ${PAGE}#${reason}`
}

/**
 * The message of an error with that code, with its address. Errors quote others: their addresses go, except that of a reason for
 * the same code.
 */
export function withAddress(message: string, code: NamedLockErrorCode): string {
  let entry = entryOf(code)
  if (!message.includes(PAGE)) return `${sentence(message)} See ${PAGE}#${entry}`
  const text = message.replace(ADDRESS, (_, quoted: string) => {
    if ((REASONS as Readonly<Record<string, NamedLockErrorCode>>)[quoted] === code) entry = quoted
    return ''
  })
  return `${sentence(text)} See ${PAGE}#${entry}`
}

/** The entry of a code: `INSIDE_TRANSACTION` → `inside-transaction`. */
export function entryOf(code: NamedLockErrorCode): string {
  return code.toLowerCase().replaceAll('_', '-')
}

/** Servers and drivers end their messages without a full stop. */
function sentence(message: string): string {
  return /[\p{L}\p{N})'"`]$/u.test(message) ? `${message}.` : message
}
