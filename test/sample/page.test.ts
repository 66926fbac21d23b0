import { expect } from 'chai'
import { after, before, describe, it } from 'mocha'
import { chromium, type Browser, type Page } from 'playwright-core'
import { chromiumArgs, findChromium } from '../support/chromium.js'
import { Program } from '../support/program.js'
import { randomName } from '../support/random-name.js'
import { connectRoot, mysqlKinds, sharedServer } from '../support/servers.js'
import type { SqlClient } from '../support/sql-client.js'
import { until } from '../support/until.js'

const kind = mysqlKinds[0]!
const patiently = { within: 120_000, every: 50 }
/** The figures in the order in which they move when the locks are off. */
const wrongs = ['overlaps', 'doubleBooked', 'missingMoney', 'paidTwice', 'oversold']
const lanes = ['event:1', 'till:1', 'event:2', 'till:2', 'terminal', 'settlement', 'migrations']
const phones = [
  { width: 360, height: 640 },
  { width: 390, height: 844 },
]

describe('the page of the sample', function () {
  this.timeout(240_000)

  const database = randomName('page')
  const complaints: string[] = []
  let root: SqlClient
  let sample: Program
  let browser: Browser | undefined
  let page: Page
  let address: string
  let url: URL

  before(async function () {
    this.timeout(600_000)
    const executablePath = findChromium()
    if (executablePath === undefined) {
      console.log('    (skipped: no Chromium on this machine; apt-get install chromium, or CHROMIUM=/path/to/it)')
      this.skip()
    }
    url = new URL((await sharedServer(kind)).url)
    url.pathname = database
    root = await connectRoot(kind)
    await root.query(`CREATE DATABASE ${database}`)
    sample = new Program('sample-app/main.ts', ['--url', url.href, '--replicas', '2'])
    await sample.printed('The ticket shop is live', 120_000)
    browser = await chromium.launch({ executablePath, args: [...chromiumArgs], timeout: 120_000 })
    page = await openPage()
    address = /http:\S+/.exec(sample.stdout)![0]
    await page.goto(address)
  })

  async function openPage(): Promise<Page> {
    const page = await browser!.newPage({ viewport: { width: 1280, height: 1000 } })
    page.setDefaultTimeout(60_000)
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) complaints.push(message.text())
    })
    page.on('pageerror', (error) => complaints.push(String(error)))
    return page
  }

  after(async () => {
    await browser?.close()
    sample?.send('SIGKILL')
    await sample?.ended
    if (root) {
      await until('no connections are left', async () => (await root.connectionsOf(database)).length === 0, patiently)
      await root.query(`DROP DATABASE ${database}`)
      await root.end()
    }
  })

  const text = (selector: string) => page.locator(selector).innerText()
  const attribute = (selector: string, name: string) => page.locator(selector).getAttribute(name)
  const values = (selector: string, name: string) =>
    page.evaluate(`[...document.querySelectorAll('${selector}')].map((element) => element.dataset['${name}'])`)
  const inPause = async (mode: string) =>
    new RegExp(`^The next sale begins in \\d s, ${mode} locks\\.$`).test(await text('#phase'))

  /** A figure of all sales with locks, or of those without. */
  async function total(figure: string, column: 'with' | 'without'): Promise<number> {
    const cell = await text(`#totals [data-figure="${figure}"] td:nth-of-type(${column === 'with' ? 1 : 2})`)
    return Number(cell.replace(/\D/g, ''))
  }

  async function soldBy(replica: number): Promise<number> {
    return Number.parseInt(await text(`[data-replica="${replica}"] p`), 10)
  }

  it('shows the sales of every replica, and the holders of locks', async () => {
    await until('both replicas sell', async () => (await soldBy(1)) > 0 && (await soldBy(2)) > 0, patiently)
    await until('a replica holds the lock', () => attribute('[data-lock="event:1"]', 'data-holders'), patiently)
    for (const lock of ['event:2', 'till:1', 'terminal', 'settlement']) {
      await until(lock, () => attribute(`[data-lock="${lock}"]`, 'data-holders'), patiently)
    }
    expect(await values('#lanes .lane', 'lock')).to.deep.equal(lanes)
    expect(await values('#figures > div', 'figure')).to.deep.equal(['sold', ...wrongs])
    for (const figure of wrongs) expect(await total(figure, 'with')).to.equal(0)
  })

  it('says what it is, and links to documents that exist', async () => {
    expect(await text('.intro')).to.match(/sells tickets .* Turn the locks off and see what goes wrong\.$/)
    const links = await page.evaluate<string[]>('[...document.links].map(({ href }) => href)')
    expect(links).to.have.length.above(5)
    for (const link of new Set(links)) {
      const answer = await fetch(link)
      expect(answer.status, link).to.equal(200)
      expect(answer.headers.get('content-type'), link).to.equal('text/plain; charset=utf-8')
    }
    for (const other of ['docs/no-such-page.md', 'sample-app/main.ts', 'docs/..%2fpackage.json', 'package.json']) {
      expect((await fetch(new URL(other, address))).status, other).to.equal(404)
    }
  })

  it('sells a ticket to the user', async () => {
    await page.selectOption('#event', 'Late show')
    await until(
      'a ticket that is not sold out',
      async () => {
        await page.click('text=Buy a ticket')
        const answer = await until(
          'an answer',
          async () => /^(Seat|Late show is|No sale)/.test(await text('#bought')),
          patiently,
        )
        return answer && /^Seat \d+ at Late show, from replica [12] in \d+ ms\.$/.test(await text('#bought'))
      },
      { within: 120_000, every: 1000 },
    )
  })

  it('describes every bar, by keyboard', async () => {
    await page.focus('[data-lock="event:2"] .track')
    await page.keyboard.press('ArrowUp')
    await page.keyboard.press('ArrowUp')
    await until(
      'a lock that was held',
      async () => {
        await page.keyboard.press('ArrowLeft')
        if (
          /Replica [12] held event:1 for [\d.]+ ms, (at once|after [\d.]+ ms of waiting)\.$/.test(await text('#detail'))
        )
          return true
        await page.keyboard.press('Escape')
        return false
      },
      { within: 60_000, every: 500 },
    )
    expect(await text('#pause')).to.equal('Resume')
    await page.keyboard.press('Escape')
    expect(await text('#pause')).to.equal('Pause')
  })

  it('concludes a sale with locks, in a pause before the next one', async () => {
    await page.focus('#customers')
    await page.keyboard.press('End')
    await until('the pause', () => inPause('with'), patiently)
    expect(await text('#conclusion')).to.equal('120 seats sold once each, €3,000 of €3,000 in the tills.')
    expect(await attribute('#conclusion', 'data-tone')).to.equal('good')
    const reasons = (await text('#reasons')).split('\n')
    const held =
      /^No two replicas were inside event:1, event:2, settlement, till:1 or till:2 at once, in (\d+) entries\.$/
    expect(reasons[0]).to.match(held)
    expect(Number(held.exec(reasons[0]!)![1])).to.be.above(240) // each sale and each payment, and the settlement
    expect(reasons[1]).to.equal('Never more than 3 were inside terminal, in 120 entries.')
    await page.click('text=Buy a ticket')
    await until('an answer', async () => (await text('#bought')).startsWith('No sale at the moment.'), patiently)
    await until('the next sale', async () => (await text('#phase')).startsWith('Selling'), patiently)
    expect(await text('#previous')).to.match(/^Before that, sale \d+, with locks: 120 seats sold once each, €3,000/)
  })

  it('goes wrong when the locks are switched off, and right again', async () => {
    await page.focus('#locks')
    await page.keyboard.press('Space')
    await until('switched off', async () => (await attribute('#locks', 'aria-checked')) === 'false', patiently)

    await until('two inside at once', () => page.locator('[data-holders="1 2"]').count(), patiently)
    await until('the pause', () => inPause('without'), patiently)
    const { doubleBooked, money, paidTwice, oversold } = await wrongInTheDatabase()
    const verdict = new RegExp(
      `^${doubleBooked} seats sold (?:twice|up to \\d+ times), €${money} lost, (\\d+) orders? paid out twice`,
    )
    const conclusion = await text('#conclusion')
    expect(conclusion).to.match(verdict)
    // Without locks a settlement may be under way when the sale is over, on a slow machine.
    expect(Number(verdict.exec(conclusion)![1])).to.be.within(1, paidTwice)
    const reasons = (await text('#reasons')).split('\n')
    expect(reasons[0]).to.match(
      /^Two replicas were inside event:[12] at once \d+ times?.*: \d+ seats sold more than once/,
    )
    expect(reasons[1]).to.match(new RegExp(`^Two replicas were inside till:[12] .*: €${money} lost\\.$`))
    expect(await total('oversold', 'without'))
      .to.equal(oversold)
      .and.to.be.above(0)
    expect(await total('overlaps', 'without')).to.be.above(doubleBooked)

    await page.keyboard.press('Space')
    const isLocked = async () => / with locks$/.test(await text('#sale-title'))
    await until('a sale with locks', isLocked, patiently)
    const sold = await total('sold', 'with')
    await until('tickets are sold', async () => (await total('sold', 'with')) > sold + 20, patiently)
    for (const figure of wrongs) expect(await total(figure, 'with')).to.equal(0)
  })

  /** The same figures as on the page, by queries of their own. */
  async function wrongInTheDatabase() {
    const table = (name: string) => `${database}.named_lock_sample_${name}`
    const number = async (query: string) => Number(await root.value(query))
    const repeated = (rows: string, columns: string) =>
      number(`SELECT COUNT(*) FROM (SELECT 1 FROM ${rows} GROUP BY ${columns} HAVING COUNT(*) > 1) AS again`)
    const paid = await number(`SELECT SUM(paid) * 25 FROM ${table('order')}`)
    const lost = paid - (await number(`SELECT SUM(amount) FROM ${table('till')}`))
    return {
      doubleBooked: await repeated(table('order'), 'eventId, seatNumber'),
      money: lost.toLocaleString('en'),
      paidTwice: await repeated(table('payout'), 'orderId'),
      oversold: (await number(`SELECT COUNT(*) FROM ${table('order')}`)) - 120,
    }
  }

  it('grants the locks of a killed replica to others', async () => {
    await page.getByRole('button', { name: 'Kill replica 1' }).click()
    await until(
      'it is gone',
      async () => (await attribute('[data-replica="1"]', 'data-status')) === 'stopped',
      patiently,
    )
    for (const lock of ['event:1', 'event:2']) {
      await until(
        `replica 2 has ${lock}`,
        async () => (await attribute(`[data-lock="${lock}"]`, 'data-holders')) === '2',
        patiently,
      )
    }
    const sold = await total('sold', 'with')
    await until('the sale goes on', async () => (await total('sold', 'with')) > sold + 20, patiently)

    await page.getByRole('button', { name: 'Start replica 1' }).click()
    const status = () => attribute('[data-replica="1"]', 'data-status')
    await until('it is back', async () => (await status()) === 'open', patiently)
    await until(
      'its start is drawn',
      async () => (await attribute('#legend', 'data-drawn'))!.includes('started'),
      patiently,
    )
  })

  it('waits without an error while no replica runs', async () => {
    const notice = () => page.locator('#notice')
    for (const replica of [1, 2]) await page.getByRole('button', { name: `Kill replica ${replica}` }).click()
    await until('the notice', async () => (await text('#notice')).startsWith('No replica is running.'), patiently)
    expect(await notice().getAttribute('class')).to.equal('notice')
    await page.click('text=Buy a ticket')
    await until(
      'an answer',
      async () => /^No (ticket: No replica is running|sale)/.test(await text('#bought')),
      patiently,
    )
    for (const replica of [1, 2]) await page.getByRole('button', { name: `Start replica ${replica}` }).click()
    await until('it says so', async () => (await text('#phase')) === 'The replicas are starting …', patiently)
    await until('the notice is gone', () => notice().isHidden(), patiently)
    const sold = await total('sold', 'with')
    await until('the sale goes on', async () => (await total('sold', 'with')) > sold, patiently)
    await until('the failure is gone', async () => (await text('#bought')) === 'Buy one yourself.', patiently)
  })

  it('has everything that it draws in its legend, and the same lanes all the time', async () => {
    const drawn = (await attribute('#legend', 'data-drawn'))!.split(' ')
    expect(await values('#legend li', 'mark')).to.have.members([...drawn, 'lost']) // no lock was lost here
    expect((await text('#legend')).split('\n').filter(Boolean)).to.have.length(drawn.length + 1)
    expect(await values('#lanes .lane', 'lock')).to.deep.equal(lanes)
  })

  it('fits a phone, and the dark', async () => {
    const ground = () => page.evaluate('getComputedStyle(document.body).backgroundColor')
    const light = await ground()
    await page.emulateMedia({ colorScheme: 'dark', reducedMotion: 'reduce' })
    expect(await ground()).to.not.equal(light)
    for (const size of phones) {
      await page.setViewportSize(size)
      expect(await page.evaluate('document.documentElement.scrollWidth')).to.equal(size.width)
      await page.evaluate("document.querySelector('#legend').scrollIntoView({ block: 'end' })")
      const [control, timeline] = [
        (await page.locator('#locks').boundingBox())!,
        (await page.locator('#lanes').boundingBox())!,
      ]
      expect(control.y).to.be.at.least(0)
      expect(timeline.y).to.be.at.least(control.y + control.height)
      expect(timeline.y + timeline.height).to.be.at.most(size.height)
    }
  })

  it('is the same in a second tab, whatever its clock says', async () => {
    const second = await openPage()
    await second.addInitScript('{ const { now } = Date; Date.now = () => now() - 86_400_000 }')
    await second.goto(address)
    const holders = () => second.locator('[data-lock="event:1"]').getAttribute('data-holders')
    await until('a holder in the second tab', holders, patiently)
    await second.close()
  })

  it('continues after a reload, without errors', async () => {
    await page.reload()
    await until('the past is there at once', () => attribute('#legend', 'data-drawn'), patiently)
    await until('it is live', async () => (await text('#connection')).startsWith('Live on '), patiently)
    expect(complaints).to.deep.equal([])
  })

  it('ends with Ctrl-C, and shows it on the page', async () => {
    sample.send('SIGINT')
    const { code, stderr } = await sample.ended
    expect(stderr).to.equal('')
    expect(code).to.equal(0)
    expect(await root.query(`SHOW TABLES FROM ${database}`)).to.deep.equal([])
    await until('the page knows', async () => (await text('#connection')).startsWith('Connection lost'), patiently)
    expect(await text('#notice')).to.match(/^The sample has ended\./)
  })

  it('comes back when the sample is started again', async () => {
    sample = new Program('sample-app/main.ts', ['--url', url.href, '--replicas', '1', '--port', new URL(address).port])
    await until('the page of the new run', async () => (await text('#replica-count')) === 'One replica', patiently)
    await until('it sells', async () => (await soldBy(1)) > 0, patiently)
    expect(await page.locator('[data-replica]').count()).to.equal(1)
    expect(await page.locator('#notice').isHidden()).to.equal(true)
    expect(
      complaints.filter((complaint) => !/ERR_(CONNECTION_REFUSED|INCOMPLETE_CHUNKED_ENCODING)/.test(complaint)),
    ).to.deep.equal([])
  })
})
