import { randomUUID } from 'node:crypto'
import { createConnection, type Connection } from 'mysql2/promise'
import { freePort } from '../../dev/servers/free-port.js'
import { startServer, type RunningServer } from '../../dev/servers/index.js'
import { until } from './until.js'

/** How long members may take to join, and the group to elect a primary, on a busy machine. */
const PATIENCE = { within: 60_000 }

/** A replication group of MySQL on loopback. All members begin with the same data, so none has to copy anything. */
export class ReplicationGroup implements AsyncDisposable {
  private constructor(readonly members: readonly RunningServer[]) {}

  /** With a single primary: the first member. */
  static async start(size: number): Promise<ReplicationGroup> {
    const name = randomUUID()
    const addresses: string[] = []
    while (addresses.length < size) addresses.push(`127.0.0.1:${await freePort()}`)
    const started = await Promise.allSettled(
      addresses.map((address, i) =>
        startServer('mysql', {
          via: ['packages'],
          args: [
            `--server-id=${i + 1}`,
            '--log-bin=binlog',
            '--gtid-mode=ON',
            '--enforce-gtid-consistency=ON',
            '--report-host=127.0.0.1',
            '--plugin-load-add=group_replication.so',
            `--group-replication-group-name=${name}`,
            '--group-replication-start-on-boot=OFF',
            `--group-replication-local-address=${address}`,
            `--group-replication-group-seeds=${addresses.join(',')}`,
            '--innodb-buffer-pool-size=16M',
          ],
        }),
      ),
    )
    const members = started.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
    const group = new ReplicationGroup(members)
    try {
      for (const result of started) if (result.status === 'rejected') throw result.reason
      const [first, ...others] = members as [RunningServer, ...RunningServer[]]
      await join(first, true)
      await Promise.all(others.map((member) => join(member, false)))
      await until('all members online', async () => (await group.online(first)).length === size, PATIENCE)
      return group
    } catch (error) {
      await group[Symbol.asyncDispose]()
      throw error
    }
  }

  /** The primary, once all members that run agree on one that can be written to. */
  async primary(): Promise<RunningServer> {
    return until(
      'a primary',
      async () => {
        for (const member of this.members) {
          const online = await this.online(member).catch(() => [])
          const isPrimary = online.some(({ port, role }) => port === member.port && role === 'PRIMARY')
          if (isPrimary && (await this.#isWritable(member))) return member
        }
        return undefined
      },
      { ...PATIENCE, every: 50 },
    )
  }

  async makeMultiPrimary(): Promise<void> {
    await onMember(await this.primary(), (one) => one.query('SELECT group_replication_switch_to_multi_primary_mode()'))
  }

  /** The members that this one sees online. */
  async online(member: RunningServer): Promise<{ port: number; role: 'PRIMARY' | 'SECONDARY' }[]> {
    const sql =
      'SELECT MEMBER_PORT AS port, MEMBER_ROLE AS role FROM performance_schema.replication_group_members ' +
      "WHERE MEMBER_STATE='ONLINE'"
    return onMember(member, async (one) => (await one.query<any[]>(sql))[0] as [])
  }

  #isWritable(member: RunningServer): Promise<boolean> {
    const sql = 'SELECT @@GLOBAL.super_read_only AS isReadOnly'
    return onMember(member, async (one) => (await one.query<any[]>(sql))[0][0].isReadOnly === 0)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.members.map((member) => member.stop()))
  }
}

async function join(member: RunningServer, isFirst: boolean): Promise<void> {
  await onMember(member, async (connection) => {
    if (isFirst) await connection.query('SET GLOBAL group_replication_bootstrap_group=ON')
    await connection.query(`START GROUP_REPLICATION USER='${member.username}', PASSWORD='${member.password}'`)
    if (isFirst) await connection.query('SET GLOBAL group_replication_bootstrap_group=OFF')
  })
}

export async function onMember<T>(member: RunningServer, work: (connection: Connection) => Promise<T>): Promise<T> {
  const { host, port, username: user, password } = member
  const connection = await createConnection({ host, port, user, password })
  connection.on('error', () => undefined)
  try {
    return await work(connection)
  } finally {
    connection.destroy()
  }
}
