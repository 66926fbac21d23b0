/** The settings of a replica, from the environment as in any deployment. */
export const settings = {
  databaseUrl: process.env.DATABASE_URL ?? 'mysql://app:app@127.0.0.1:3306/app',
  /** 0 means any free port. */
  port: Number(process.env.PORT ?? 0),
  /** The number of this replica, for the report. */
  replica: Number(process.env.REPLICA ?? 1),
  /**
   * `off`: the shop without locks. `broken`: locks that do not reach beyond the process, for the test of the sample.
   */
  locks: (process.env.LOCKS ?? 'on') as 'on' | 'off' | 'broken',
  /** The slowness of the outside world. At 1 a venue answers within some milliseconds; the live page uses more. */
  slowness: Number(process.env.SLOWNESS ?? 1),
  /** The clock of the supervisor, for replicas that have one. */
  clockOrigin: process.env.CLOCK_ORIGIN === undefined ? undefined : Number(process.env.CLOCK_ORIGIN),
} as const
