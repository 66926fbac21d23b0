import { expect } from 'chai'
import { createConnection } from 'mysql2/promise'
import { existsSync, readFileSync } from 'node:fs'
import { Client } from 'pg'
import { startServer, type ServerKind } from '../../dev/servers/index.js'
import { sourceLines } from '../../dev/servers/package-source.js'
import { rejection } from '../support/rejection.js'

const variables = ['NAMED_LOCK_DEBIAN_RELEASE', 'NAMED_LOCK_POSTGRES_VERSION'] as const
const ownMachine = ['docker', 'binary', 'packages'] as const
/** The first run of all downloads the server. */
const firstStart = 300_000

describe('development servers: a chosen version', () => {
  const original = variables.map((variable) => process.env[variable])

  beforeEach(() => variables.forEach((variable) => delete process.env[variable]))
  after(() =>
    variables.forEach((variable, index) => {
      const value = original[index]
      if (value === undefined) delete process.env[variable]
      else process.env[variable] = value
    }),
  )

  const wrong: readonly (readonly [variable: string, value: string, kinds: readonly ServerKind[], allowed: string])[] =
    [
      ['NAMED_LOCK_DEBIAN_RELEASE', 'buster', ['mysql', 'mariadb', 'postgres'], 'bullseye, bookworm, trixie, sid'],
      ['NAMED_LOCK_DEBIAN_RELEASE', 'Sid', ['mariadb'], 'bullseye, bookworm, trixie, sid'],
      ['NAMED_LOCK_POSTGRES_VERSION', '13', ['postgres'], '14, 15, 16, 17, 18'],
      ['NAMED_LOCK_POSTGRES_VERSION', '16.3', ['postgres'], '14, 15, 16, 17, 18'],
    ]
  for (const [variable, value, kinds, allowed] of wrong) {
    it(`${variable}=${value} is refused, and no source is tried`, async () => {
      process.env[variable] = value
      for (const kind of kinds) {
        const lines: string[] = []
        const error = await rejection(startServer(kind, { via: ownMachine, log: (line) => lines.push(line) }))
        expect(error.message).to.equal(`${variable} is '${value}', but has to be one of: ${allowed}`)
        expect(lines).to.deep.equal([])
      }
    })
  }

  it('of Debian: the server of that release runs, with its own libraries', async function () {
    this.timeout(firstStart)
    if (!isDebian()) {
      this.test!.title += ' (needs Debian)'
      this.skip()
    }
    // The oldest: it differs from what any machine that runs these tests has.
    process.env.NAMED_LOCK_DEBIAN_RELEASE = 'bullseye'
    await using server = await startServer('mariadb', { via: ownMachine })
    expect(server.origin).to.equal('packages')
    const connection = await createConnection(server.url)
    try {
      const [rows] = await connection.query<any[]>("SELECT VERSION() AS version, GET_LOCK('a', 0) AS got")
      expect(rows[0].version).to.match(/^10\.5\.\d+-MariaDB.*deb11/)
      expect(rows[0].got).to.equal(1)
    } finally {
      connection.destroy()
    }
  })

  it('of PostgreSQL: that one runs, also where another is installed and a Debian release is chosen', async function () {
    this.timeout(firstStart)
    process.env.NAMED_LOCK_POSTGRES_VERSION = '16'
    process.env.NAMED_LOCK_DEBIAN_RELEASE = 'trixie'
    await using server = await startServer('postgres', { via: ownMachine })
    const client = new Client(server.url)
    await client.connect()
    try {
      const { rows } = await client.query('SHOW server_version')
      expect(rows[0].server_version).to.match(/^16\.\d+/)
    } finally {
      await client.end()
    }
  })

  it('that the release does not have: says so, and takes no other', async function () {
    this.timeout(firstStart)
    if (!isDebian() || process.env.NAMED_LOCK_CHAOS !== 'full') {
      this.test!.title += ' (needs Debian and NAMED_LOCK_CHAOS=full: it downloads lists of packages)'
      this.skip()
    }
    process.env.NAMED_LOCK_DEBIAN_RELEASE = 'bullseye'
    const { message } = await rejection(startServer('mysql', { via: ownMachine, log: () => undefined }))
    expect(message).to.contain('packages: Debian bullseye has no mysql-server-core')
  })

  it('of Debian comes from the mirrors of the machine, with their keys and the security updates', () => {
    const mirror = { uri: 'http://mirror/debian', signedBy: '/keys.gpg', security: false }
    const updates = { uri: 'http://mirror/security', signedBy: undefined, security: true }
    expect(sourceLines([mirror, updates], 'trixie')).to.deep.equal([
      'deb [signed-by=/keys.gpg] http://mirror/debian trixie main',
      'deb http://mirror/security trixie-security main',
    ])
    expect(sourceLines([mirror, updates], 'sid')).to.deep.equal([
      'deb [signed-by=/keys.gpg] http://mirror/debian sid main',
    ])
    expect(sourceLines([], 'sid')).to.deep.equal([])
  })
})

/** Debian itself, whose mirrors have every release; not Ubuntu. */
function isDebian(): boolean {
  const file = '/etc/os-release'
  return existsSync(file) && /^ID="?debian"?$/m.test(readFileSync(file, 'utf8'))
}
