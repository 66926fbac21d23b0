import { existsSync } from 'node:fs'
import path from 'node:path'
import { expect } from 'chai'
import { DataSource } from 'typeorm'
import { PrivateApt } from '../../dev/servers/apt.js'
import { cachedFolder } from '../../dev/servers/cache-folder.js'
import { freePort } from '../../dev/servers/free-port.js'
import { startServer, type RunningServer } from '../../dev/servers/index.js'
import { run } from '../../dev/servers/run.js'
import { NamedLockService } from '../../src/index.js'
import { serverKinds } from '../support/servers.js'

/** The provider out of the distribution's package, unpacked into the cache. */
async function galeraProvider(): Promise<string> {
  const folder = await cachedFolder(`programs/galera-${process.arch}-v1`, async (unfinished) => {
    const apt = await PrivateApt.create(path.join(unfinished, 'work'), () => undefined)
    await apt.update()
    for (const archive of await apt.downloadAlone('galera-4')) await run(['dpkg-deb', '-x', archive, unfinished])
  })
  return path.join(folder, 'usr', 'lib', 'galera', 'libgalera_smm.so')
}

describe('check, on a real Galera node', () => {
  let server: RunningServer | undefined

  before(async function () {
    this.timeout(600_000)
    const isPossible = existsSync('/usr/bin/apt-get') && existsSync('/usr/bin/dpkg-deb')
    if (!isPossible || !serverKinds.includes('mariadb')) this.skip()
    const address = `127.0.0.1:${await freePort()}`
    server = await startServer('mariadb', {
      via: ['packages'],
      args: [
        '--wsrep-on=ON',
        `--wsrep-provider=${await galeraProvider()}`,
        `--wsrep-cluster-address=gcomm://${address}`,
        '--wsrep-new-cluster',
        '--wsrep-node-address=127.0.0.1',
        `--wsrep-provider-options=gmcast.listen_addr=tcp://${address}`,
        '--binlog-format=ROW',
        '--innodb-autoinc-lock-mode=2',
      ],
    })
  })
  after(() => server?.stop())

  it('says that locks live on one node', async () => {
    const { host, port, username, password, database } = server!
    const dataSource = new DataSource({ type: 'mariadb', host, port, username, password, database })
    await dataSource.initialize()
    try {
      await using locks = new NamedLockService(dataSource)
      const [finding] = await locks.check()
      expect(finding).to.include({ code: 'GALERA_NODE', severity: 'warning' })
      expect(finding!.message).to.include('Galera cluster of 1')
      expect(await locks.withLock('a', async (lock) => lock.verify())).to.equal(true)
      await locks.close()
    } finally {
      await dataSource.destroy()
    }
  })
})
