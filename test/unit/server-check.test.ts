import { expect } from 'chai'
import { checkServer } from '../../src/dialect/mysql/server-check.js'

type Answers = readonly (readonly [RegExp, string | undefined | Error])[]

const refused = (errno: number, message: string) => Object.assign(new Error(message), { errno, sqlState: 'HY000' })
const unknownVariable = refused(1193, 'Unknown system variable')

const healthy: Answers = [
  [/VERSION\(\)/, '8.4.0'],
  [/CONNECTION_ID/, '7'],
  [/read_only/, '0'],
  [/REPLICA STATUS|SLAVES STATUS/, undefined],
  [/wsrep_on|group_replication/, unknownVariable],
  [/log_bin/, '1'],
  [/binlog_format/, 'ROW'],
  [/SHOW GRANTS/, 'GRANT ALL PRIVILEGES ON *.* TO `app`@`%`'],
  [/CURRENT_USER/, 'app@%'],
]

/** A server simulated by its answers: the given ones override those of a healthy server. */
async function findingsOf(answers: Answers) {
  let timeout = '28800'
  const ask = async (sql: string): Promise<unknown> => {
    const [, answer] = [...answers, ...healthy].find(([pattern]) => pattern.test(sql)) ?? [undefined, undefined]
    if (answer instanceof Error) throw answer
    if (answer !== undefined) return [[...answer.split('|')]]
    if (sql.startsWith('SET SESSION wait_timeout=')) timeout = sql.slice(sql.indexOf('=') + 1)
    return /wait_timeout/.test(sql) ? [[timeout]] : []
  }
  const dialect = { readLocks: () => Promise.resolve({ rows: [] }) }
  const findings = await checkServer(ask, dialect, 30_000)
  return findings.map(({ code, severity }) => `${code} ${severity}`)
}

describe('checkServer, on servers that are not available here', () => {
  it('finds nothing wrong with a healthy one', async () => {
    expect(await findingsOf([])).to.deep.equal([])
  })

  for (const [version, isOld] of [
    ['5.5.62', true],
    ['5.7.4-m14', true],
    ['5.7.5', false],
    ['9.7.4-2', false],
    ['5.5.5-10.0.1-MariaDB', true],
    ['5.5.5-10.6.18-MariaDB', false],
    ['10.0.1-MariaDB', true],
    ['10.0.2-MariaDB', false],
    ['11.8.3-MariaDB-ubu2404', false],
  ] as const) {
    it(`${isOld ? 'refuses' : 'accepts'} version ${version}`, async () => {
      expect(await findingsOf([[/VERSION\(\)/, version]])).to.deep.equal(isOld ? ['SERVER_TOO_OLD error'] : [])
    })
  }

  it('recognises servers that only look like MySQL, and asks them nothing else', async () => {
    const other: Answers = [[/read_only/, new Error('asked')]]
    expect(await findingsOf([[/VERSION\(\)/, '8.0.11-TiDB-v7.5.0'], ...other])).to.deep.equal([
      'SERVER_NOT_SUPPORTED error',
    ])
    expect(await findingsOf([[/VERSION\(\)/, '5.7.25-OceanBase-v4.3.5.0 OceanBase']])).to.deep.equal([
      'SERVER_NOT_TESTED warning',
    ])
  })

  it('finds a replica that can be written to', async () => {
    expect(await findingsOf([[/REPLICA STATUS/, 'Waiting for source to send event']])).to.deep.equal([
      'SERVER_IS_REPLICA warning',
    ])
  })

  it('finds a read-only Aurora reader', async () => {
    expect(await findingsOf([[/innodb_read_only/, '1']])).to.deep.equal(['SERVER_READ_ONLY error'])
  })

  it('finds a Galera node, alone or not', async () => {
    const cluster = (size: string): Answers => [
      [/wsrep_on/, '1'],
      [/wsrep_cluster_size/, `wsrep_cluster_size|${size}`],
    ]
    expect(await findingsOf(cluster('3'))).to.deep.equal(['GALERA_NODE error'])
    expect(await findingsOf(cluster('1'))).to.deep.equal(['GALERA_NODE warning'])
    expect(await findingsOf([[/wsrep_on/, '0']])).to.deep.equal([])
  })

  it('finds a replication group with several primaries, and accepts one with a single primary', async () => {
    const group = (single: string): Answers => [
      [/single_primary_mode/, single],
      [/replication_group_members/, '3'],
    ]
    expect(await findingsOf(group('0'))).to.deep.equal(['GROUP_REPLICATION_MULTI_PRIMARY error'])
    expect(await findingsOf(group('1'))).to.deep.equal([])
    const hidden: Answers = [
      [/single_primary_mode/, '0'],
      [/replication_group_members/, refused(1142, 'SELECT command denied')],
    ]
    expect(await findingsOf([...hidden, [/group_name/, 'a1b2']])).to.deep.equal([
      'GROUP_REPLICATION_MULTI_PRIMARY error',
    ])
    expect(await findingsOf([...hidden, [/group_name/, '']])).to.deep.equal([])
    const notAMember: Answers = [[/replication_group_members/, '0']]
    expect(await findingsOf([...notAMember, [/single_primary_mode/, '0']])).to.deep.equal([])
  })

  it('finds a proxy that multiplexes, and one that swallows the lease', async () => {
    let id = 0
    const moving: Answers = [[/CONNECTION_ID/, '']]
    Object.defineProperty(moving[0], 1, { get: () => String(++id) })
    expect(await findingsOf(moving)).to.deep.equal(['PROXY_MULTIPLEXES error'])
    expect(await findingsOf([[/^SELECT .*wait_timeout/, '28800']])).to.deep.equal(['LEASE_NOT_KEPT error'])
  })

  it('does not treat a lost connection as an answer', async () => {
    let error: unknown
    await findingsOf([[/read_only/, new Error('closed')]]).catch((reason: unknown) => (error = reason))
    expect(error).to.be.an('error').with.property('message', 'closed')
  })
})
