import { existsSync } from 'node:fs'
import path from 'node:path'
import { expect } from 'chai'
import { DataSource } from 'typeorm'
import { cachedFolder } from '../../dev/servers/cache-folder.js'
import { chosenDebian } from '../../dev/servers/chosen-version.js'
import { freePort } from '../../dev/servers/free-port.js'
import { startServer, type RunningServer } from '../../dev/servers/index.js'
import { packageSource } from '../../dev/servers/package-source.js'
import { run } from '../../dev/servers/run.js'
import { NamedLockService } from '../../src/index.js'
import { serverKinds } from '../support/servers.js'
import { until } from '../support/until.js'

/** The provider from the distribution's package, unpacked into the cache. */
async function galeraProvider(): Promise<string> {
  const release = chosenDebian() // the provider needs the libraries of the server's own release
  const name = `programs/galera-${process.arch}-${release === undefined ? '' : `${release}-`}v1`
  const folder = await cachedFolder(name, async (unfinished) => {
    const apt = await packageSource(path.join(unfinished, 'work'), release, () => undefined)
    for (const archive of await apt.downloadAlone('galera-4')) await run(['dpkg-deb', '-x', archive, unfinished])
  })
  return path.join(folder, 'usr', 'lib', 'galera', 'libgalera_smm.so')
}

const login = ({ host, port, username, password, database }: RunningServer) =>
  ({ type: 'mariadb', host, port, username, password, database }) as const

describe('a real Galera cluster', () => {
  const nodes: RunningServer[] = []
  const addresses: string[] = []

  before(async function () {
    this.timeout(600_000)
    const isPossible = existsSync('/usr/bin/apt-get') && existsSync('/usr/bin/dpkg-deb')
    if (!isPossible || !serverKinds.includes('mariadb')) this.skip()
    await startNode()
  })
  after(() => Promise.all(nodes.map((node) => node.stop())))

  async function startNode(): Promise<RunningServer> {
    const address = `127.0.0.1:${await freePort()}`
    const isFirst = addresses.length === 0
    addresses.push(address)
    const node = await startServer('mariadb', {
      via: ['packages'],
      args: [
        '--wsrep-on=ON',
        `--wsrep-provider=${await galeraProvider()}`,
        `--wsrep-cluster-address=gcomm://${addresses.join(',')}`,
        ...(isFirst ? ['--wsrep-new-cluster'] : []),
        '--wsrep-node-address=127.0.0.1',
        `--wsrep-provider-options=gmcast.listen_addr=tcp://${address};ist.recv_addr=127.0.0.1:${await freePort()}`,
        // Both begin with the same data, so nothing is transferred.
        '--wsrep-sst-method=skip',
        '--binlog-format=ROW',
        '--innodb-autoinc-lock-mode=2',
      ],
    })
    nodes.push(node)
    return node
  }

  async function onNode(node: RunningServer, work: (locks: NamedLockService) => Promise<void>): Promise<void> {
    const dataSource = await new DataSource(login(node)).initialize()
    try {
      await using locks = new NamedLockService(dataSource)
      await work(locks)
      await locks.close()
    } finally {
      await dataSource.destroy()
    }
  }

  it('of one node: check warns that locks live on one node', async () => {
    await onNode(nodes[0]!, async (locks) => {
      const [finding] = await locks.check()
      expect(finding).to.include({ code: 'GALERA_NODE', severity: 'warning' })
      expect(finding!.message).to.include('Galera cluster of 1')
      expect(await locks.withLock('a', async (lock) => lock.verify())).to.equal(true)
    })
  })

  it('of two nodes: check reports an error, and both nodes do grant the same lock', async function () {
    this.timeout(120_000)
    this.retries(2) // one of its ports may be taken between the check and the start
    const second = await startNode()
    await onNode(nodes[0]!, async (here) => {
      await onNode(second, async (there) => {
        const finding = await until(
          'the second node in the cluster',
          async () => (await here.check()).find(({ message }) => message.includes('Galera cluster of 2')),
          { within: 60_000 },
        )
        expect(finding).to.include({ code: 'GALERA_NODE', severity: 'error' })
        expect((await there.check())[0]).to.include({ code: 'GALERA_NODE', severity: 'error' })
        await using lock = await here.acquire('a')
        await using same = await there.acquire('a', { timeout: 0 })
        expect([await lock.verify(), await same.verify()]).to.deep.equal([true, true])
      })
    })
  })
})
