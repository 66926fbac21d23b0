import { expect } from 'chai'
import { describe, it } from 'mocha'
import { enforcesLease, engineFinding, refuseEngine, type Family } from '../../src/dialect/engines.js'
import { NamedLockConfigurationError } from '../../src/index.js'

/** Version texts as servers give them: `VERSION() @@version_comment`, and PostgreSQL's `version()`. */
const REFUSED: readonly (readonly [family: Family, version: string, name: RegExp])[] = [
  ['mysql', '8.0.11-TiDB-v7.5.0 TiDB Server (Apache License 2.0) Community Edition, MySQL 8.0 compatible', /TiDB/],
  ['mysql', '8.0.30-Vitess Version: 21.0.0', /Vitess/],
  ['mysql', '8.0.21-Vitess PlanetScale', /PlanetScale/],
  ['mysql', '8.0.30-MatrixOne-v2.0.1 MatrixOne', /MatrixOne/],
  ['mysql', '5.7.25-OceanBase-v4.2.1.8 OceanBase 4.2.1.8 (r108000022024072217)', /OceanBase/],
  ['mysql', '5.7.25 OceanBase_CE 4.3.0.1 (r100000242024032211)', /OceanBase/],
  ['postgres', 'CockroachDB CCL v25.2.1 (x86_64-pc-linux-gnu, built 2025/06/04)', /CockroachDB/],
  ['postgres', 'PostgreSQL 11.2-YB-2.20.7.0-b0 on x86_64-pc-linux-gnu, compiled by clang', /YugabyteDB/],
  ['postgres', 'PostgreSQL 11.2-YB-2024.2.3.0-b0 on x86_64-pc-linux-gnu, compiled by clang', /YugabyteDB/],
  [
    'postgres',
    'PostgreSQL 15.12-YB-2025.1.0.0-b0 on x86_64-pc-linux-gnu yb_silence_advisory_locks_not_supported_error',
    /YugabyteDB/,
  ],
  ['postgres', 'PostgreSQL 8.0.2 on i686-pc-linux-gnu, compiled by GCC, Redshift 1.0.77467', /Redshift/],
  ['postgres', 'PostgreSQL 9.5.0 on x86_64-unknown-linux-gnu (Materialize v0.130.0)', /Materialize/],
  ['postgres', 'PostgreSQL 13.14.0-RisingWave-2.1.0 (abcdef)', /RisingWave/],
]

const UNTESTED: readonly (readonly [family: Family, version: string])[] = [
  ['mysql', '5.7.25-OceanBase-v4.3.1.0 OceanBase 4.3.1.0'],
  ['mysql', '5.7.25 OceanBase_CE 4.4.0.0 (r100000242024032211)'],
  ['postgres', 'PostgreSQL 15.12-YB-2025.1.0.0-b0 on x86_64-pc-linux-gnu, compiled by clang'],
  ['postgres', 'PostgreSQL 15.12-YB-2026.2.1.0-b0 on x86_64-pc-linux-gnu, compiled by clang'],
]

const HONEST: readonly (readonly [family: Family, version: string])[] = [
  ['mysql', '9.7.4 MySQL Community Server - GPL'],
  ['mysql', '8.0.36-28 Percona Server (GPL), Release 28, Revision 47601f19'],
  ['mysql', '8.0.39 Source distribution'],
  ['mysql', '8.4.4-azure Source distribution'],
  ['mysql', '10.11.14-MariaDB-0+deb12u2 Debian 12'],
  ['mysql', '11.8.3-MariaDB-ubu2404 mariadb.org binary distribution'],
  ['mysql', ''],
  ['postgres', 'PostgreSQL 18.1 on x86_64-pc-linux-gnu, compiled by gcc (Debian 14.2.0-19) 14.2.0, 64-bit'],
  ['postgres', 'PostgreSQL 16.6 on aarch64-unknown-linux-gnu, compiled by aarch64-unknown-linux-gnu-gcc (GCC) 9.5.0'],
  ['postgres', ''],
]

describe('the version text of an engine', () => {
  for (const [family, version, name] of REFUSED)
    it(`refuses: ${version}`, () => {
      const { code, severity, message, remedy } = engineFinding(family, version)!
      expect([code, severity]).to.deep.equal(['SERVER_NOT_SUPPORTED', 'error'])
      expect(message).to.match(name).and.include(version)
      // The refusal says the same, and where to look it up.
      expect(() => refuseEngine(family, version))
        .to.throw(NamedLockConfigurationError)
        .with.property('message')
        .that.includes(message)
        .and.includes(remedy)
        .and.includes(code)
    })

  for (const [family, version] of UNTESTED)
    it(`warns, and does not refuse: ${version}`, () => {
      expect(engineFinding(family, version)).to.include({ code: 'SERVER_NOT_TESTED', severity: 'warning' })
      refuseEngine(family, version)
      expect(enforcesLease(family, version)).to.equal(true)
    })

  for (const [family, version] of HONEST)
    it(`says nothing about ${version || 'an unreadable version'}`, () => {
      expect(engineFinding(family, version)).to.equal(undefined)
      refuseEngine(family, version)
      expect(enforcesLease(family, version)).to.equal(true)
    })

  it('takes the lease of Dolt for none', () => {
    const version = '8.0.33 Dolt'
    expect(engineFinding('mysql', version)).to.include({ code: 'LEASE_NOT_ENFORCED', severity: 'error' })
    refuseEngine('mysql', version)
    expect(enforcesLease('mysql', version)).to.equal(false)
  })
})
