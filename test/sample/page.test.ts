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
const wrongs = ['oversold', 'duplicateSeats', 'missingMoney', 'settledTwice']

describe('the page of the sample', function () {
  this.timeout(240_000)

  const database = randomName('page')
  const complaints: string[] = []
  let root: SqlClient
  let sample: Program
  let browser: Browser | undefined
  let page: Page

  before(async function () {
    this.timeout(600_000)
    const executablePath = findChromium()
    if (executablePath === undefined) {
      console.log('    (skipped: no Chromium on this machine; apt-get install chromium, or CHROMIUM=/path/to/it)')
      this.skip()
    }
    const url = new URL((await sharedServer(kind)).url)
    url.pathname = database
    root = await connectRoot(kind)
    await root.query(`CREATE DATABASE ${database}`)
    sample = new Program('sample-app/main.ts', ['--url', url.href, '--replicas', '2'])
    await sample.printed('The ticket shop is live', 120_000)
    browser = await chromium.launch({ executablePath, args: [...chromiumArgs], timeout: 120_000 })
    page = await browser.newPage({ viewport: { width: 1280, height: 1000 } })
    page.setDefaultTimeout(60_000)
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) complaints.push(message.text())
    })
    page.on('pageerror', (error) => complaints.push(String(error)))
    await page.goto(/http:\S+/.exec(sample.stdout)![0])
  })

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

  /** A figure of all sales with locks, or of those without. */
  async function total(figure: string, column: 'with' | 'without'): Promise<number> {
    const cell = await text(`[data-figure="${figure}"] td:nth-of-type(${column === 'with' ? 1 : 2})`)
    return Number(cell.replace(/\D/g, ''))
  }

  async function soldBy(replica: number): Promise<number> {
    return Number.parseInt(await text(`[data-replica="${replica}"] p`), 10)
  }

  it('shows the sales of every replica, and the holders of locks', async () => {
    await until('both replicas sell', async () => (await soldBy(1)) > 0 && (await soldBy(2)) > 0, patiently)
    await until('a replica holds the lock', () => attribute('[data-lock="event:1"]', 'data-holders'), patiently)
    for (const lock of ['event:2', 'till:1', 'till:2', 'settlement']) {
      await until(lock, () => page.locator(`[data-lock="${lock}"]`).count(), patiently)
    }
    for (const figure of wrongs) expect(await total(figure, 'with')).to.equal(0)
  })

  it('sells a ticket to the user', async () => {
    await page.selectOption('#event', 'Late show')
    await until(
      'a ticket that is not sold out',
      async () => {
        await page.click('text=Buy a ticket')
        const answer = await until(
          'an answer',
          async () => /^(Seat|Late show|No)/.test(await text('#bought')),
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

  it('goes wrong when the locks are switched off, and right again', async () => {
    await page.focus('#customers')
    await page.keyboard.press('End')
    await page.focus('#locks')
    await page.keyboard.press('Space')
    await until('switched off', async () => (await attribute('#locks', 'aria-checked')) === 'false', patiently)

    await until('oversold', () => total('oversold', 'without'), patiently)
    await until('seats sold again', () => total('duplicateSeats', 'without'), patiently)
    await until('two inside at once', () => page.locator('[data-holders="1 2"]').count(), patiently)

    await page.keyboard.press('Space')
    const isLocked = async () => / with locks$/.test(await text('#sale-title'))
    await until('a sale with locks', isLocked, patiently)
    const sold = await total('sold', 'with')
    await until('tickets are sold', async () => (await total('sold', 'with')) > sold + 20, patiently)
    for (const figure of wrongs) expect(await total(figure, 'with')).to.equal(0)
  })

  it('grants the locks of a killed replica to others', async () => {
    await page.click('text=Kill >> nth=0')
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
    await until('it migrated under a lock', () => page.locator('[data-lock^="migrations:"]').count(), patiently)
  })

  it('fits a phone, and the dark', async () => {
    const ground = () => page.evaluate('getComputedStyle(document.body).backgroundColor')
    const light = await ground()
    await page.emulateMedia({ colorScheme: 'dark', reducedMotion: 'reduce' })
    expect(await ground()).to.not.equal(light)
    await page.setViewportSize({ width: 390, height: 844 })
    expect(await page.evaluate('document.documentElement.scrollWidth')).to.equal(390)
  })

  it('continues after a reload, without errors', async () => {
    await page.reload()
    await until('the past is there at once', () => page.locator('.lane[data-lock]').count(), patiently)
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
  })
})
