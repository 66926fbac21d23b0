/** What differs from replica to replica, out of the environment as in any deployment. */
export const settings = {
  databaseUrl: process.env.DATABASE_URL ?? 'mysql://app:app@127.0.0.1:3306/app',
  /** 0: any free port. */
  port: Number(process.env.PORT ?? 0),
  /** Which replica this is, for the report. */
  replica: Number(process.env.REPLICA ?? 1),
  /** `off`: the shop without locks. `broken`: with locks that end at the process, for the test of the sample. */
  locks: (process.env.LOCKS ?? 'on') as 'on' | 'off' | 'broken',
  /** How slow the world outside is. At 1 a venue takes some milliseconds to answer; for watching it may take more. */
  slowness: Number(process.env.SLOWNESS ?? 1),
} as const
