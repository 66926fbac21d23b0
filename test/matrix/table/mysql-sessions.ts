import type { Variation } from '../variation.js'

const both = ['mysql', 'mariadb'] as const

/** What an administrator has said on each connection of users with few rights. */
const inits: readonly string[] = [
  'SET sql_mode=ANSI_QUOTES',
  'SET NAMES latin1',
  'SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED',
  'SET time_zone=@@time_zone, @tenant=42',
  'SET SESSION wait_timeout=60',
  'SET sql_select_limit=5',
]

/** What the application says on each connection that its pool opens. */
const hooks: readonly [Variation['kinds'], string][] = [
  [both, 'SET @tenant = 42, @`typeorm-named-lock-of-mine` = 1'],
  [both, 'SET SESSION wait_timeout = 100'],
  [both, "SET SESSION sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT'"],
  [both, 'SET SESSION group_concat_max_len = 4'],
  [both, "SET SESSION time_zone = '-05:00'"],
  [both, 'SET NAMES utf8mb4 COLLATE utf8mb4_bin'],
  [both, 'SET SESSION lock_wait_timeout = 1'],
  [both, 'SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE'],
  [both, "SET SESSION collation_connection = 'utf16_general_ci'"],
  [both, "SET SESSION collation_connection = 'ucs2_general_ci'"],
  [both, "SET SESSION collation_connection = 'utf32_general_ci'"],
  [both, "SET SESSION collation_connection = 'cp932_japanese_ci'"],
  [both, "SET SESSION collation_connection = 'ascii_general_ci'"],
  [both, "SET SESSION collation_connection = 'binary'"],
  [both, "SET SESSION collation_connection = 'latin1_german1_ci'"],
  [both, "SET SESSION collation_connection = 'utf8mb4_tr_0900_ai_ci'"],
  [both, "SET SESSION collation_connection = 'utf8mb4_turkish_ci'"],
  [['mysql'], "SET SESSION character_set_results = 'utf16'"],
  [['mysql'], "SET SESSION character_set_results = 'utf32'"],
  [both, 'SET SESSION character_set_results = NULL'],
  [both, "SET NAMES 'latin1'"],
  [['mysql'], 'SET SESSION max_execution_time = 300'],
  [['mysql'], "SET SESSION optimizer_switch = 'derived_merge=off'"],
  [['mysql'], 'SET SESSION sql_require_primary_key = 1'],
  [['mysql'], 'SET ROLE NONE'],
  [['mariadb'], 'SET SESSION max_statement_time = 0.5'],
  [['mariadb'], "SET SESSION sql_mode = 'ORACLE'"],
  [['mariadb'], 'SET SESSION idle_transaction_timeout = 1'],
  [['mariadb'], 'SET SESSION sql_if_exists = 1'],
]

/** Answers that mysql2 misreads, texts or whole numbers. */
const illegible: readonly [Variation['kinds'], string][] = [
  [both, 'ucs2'],
  [['mariadb'], 'utf16'],
  [['mariadb'], 'utf32'],
]

/** By a hook of the application's pool, and by `init_connect`. */
export const mysqlSessions: readonly Variation[] = [
  { name: 'a user with few rights', kinds: both, user: 'ordinary', bothMajors: true },
  ...inits.map((initConnect, at): Variation => ({
    name: `init_connect ${initConnect}`,
    kinds: both,
    user: 'ordinary',
    initConnect,
    ...(at === 0 && { isFast: true }),
  })),
  ...hooks.map(([kinds, statement], at): Variation => ({
    name: `on each connection ${statement}`,
    kinds,
    session: [statement],
    ...(at === 0 && { isFast: true }),
  })),
  ...illegible.map(([kinds, charset]): Variation => ({
    name: `on each connection character_set_results ${charset}`,
    kinds,
    session: [`SET SESSION character_set_results = '${charset}'`],
    refused: new RegExp(`character_set_results is ${charset}`),
    finds: ['ANSWERS_NOT_LEGIBLE'],
  })),
]
