import type { Conformance } from '../../support/conformance.js'

/** A login without rights beyond the test's database: one with more may write to a read-only server. */
export async function plainLogin(ctx: Conformance): Promise<{ username: string; password: string }> {
  const login = { username: ctx.database, password: 'plain' }
  await ctx.outsider.query(`CREATE USER IF NOT EXISTS '${login.username}'@'%' IDENTIFIED BY '${login.password}'`)
  await ctx.outsider.query(`GRANT ALL ON ${ctx.database}.* TO '${login.username}'@'%'`)
  return login
}

/** A transaction that has written when the server becomes read-only gets an error to its COMMIT. */
export async function makeReadOnly(ctx: Conformance): Promise<void> {
  await ctx.outsider.query('SET GLOBAL read_only = ON')
}

export async function makeWritable(ctx: Conformance): Promise<void> {
  await ctx.outsider.query('SET GLOBAL read_only = OFF')
  await ctx.outsider.query(`DROP USER IF EXISTS '${ctx.database}'@'%'`)
}
