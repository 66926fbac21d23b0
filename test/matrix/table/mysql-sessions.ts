import type { Variation } from '../variation.js'

const both = ['mysql', 'mariadb'] as const

/** What an application, or its administrator, says on each connection: by a hook of the pool, or by `init_connect`. */
export const mysqlSessions: readonly Variation[] = [
  { name: 'a user with few rights', kinds: both, user: 'ordinary' },
  {
    name: 'init_connect sql_mode ANSI_QUOTES',
    kinds: both,
    user: 'ordinary',
    initConnect: 'SET sql_mode=ANSI_QUOTES',
    isFast: true,
  },
  { name: 'a hook that sets a user variable', kinds: both, session: ['SET @tenant = 42'], isFast: true },
]
