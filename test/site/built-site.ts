/*
 * The built site in a browser: `npm run docs:check` builds it and runs this. `npm test` does not, because the site has
 * packages of its own and takes a minute.
 */
import { existsSync, readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import path from 'node:path'
import { expect } from 'chai'
import { after, before, describe, it } from 'mocha'
import { chromium, type Browser, type Page } from 'playwright-core'
import { chromiumArgs, findChromium } from '../support/chromium.js'

const site = path.join(__dirname, '..', '..', 'docs', '.vitepress')
const types: Readonly<Record<string, string>> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.png': 'image/png',
  '.svg': 'image/svg+xml',
}

const wide = { width: 1280, height: 900 }
const phone = { width: 390, height: 844 }

/** What a stranger searches for, and a page that answers it. */
const questions: Readonly<Record<string, string>> = {
  'limit to five': '/recipes#limit-calls-to-a-provider',
  'test with jest': '/testing',
  'what happens on failover': '/operations#failover',
  'why REENTRANCY': '/errors#why-reentrancy',
  'run with PgBouncer': '/postgresql#pgbouncer-and-other-poolers',
  'which grants': '/operations#grants',
  'how to stop a pod': '/nestjs#shutdown-and-kubernetes',
  'what is holdAtLeast for': '/decorator#scheduled-jobs',
}

describe('the built site', function () {
  this.timeout(300_000)
  let server: Server
  let browser: Browser
  let address: string
  const complaints: string[] = []

  before('serve it, and open a browser', async () => {
    server = createServer((request, response) => {
      const name = decodeURIComponent(new URL(request.url ?? '/', 'http://site').pathname)
      const candidates = [name, `${name}.html`, path.join(name, 'index.html')].filter((one) => path.extname(one) !== '')
      const file = candidates.map((one) => path.join(site, 'dist', one)).find((one) => existsSync(one))
      if (file === undefined) return response.writeHead(404).end()
      response.writeHead(200, { 'content-type': types[path.extname(file)] ?? 'application/octet-stream' })
      return void readFile(file).then((content) => response.end(content))
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const executablePath = findChromium()
    if (executablePath === undefined) throw new Error('No Chromium on this machine: install it, or set CHROMIUM.')
    browser = await chromium.launch({ executablePath, args: [...chromiumArgs], timeout: 120_000 })
  })

  after(async () => {
    await browser?.close()
    server?.close()
  })

  async function open(name: string, viewport: typeof wide, colorScheme: 'light' | 'dark' = 'light'): Promise<Page> {
    const context = await browser.newContext({ viewport, colorScheme })
    const page = await context.newPage()
    page.setDefaultTimeout(60_000)
    page.on('pageerror', (error) => complaints.push(`${name}: ${String(error)}`))
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) complaints.push(`${name}: ${message.text()}`)
    })
    await page.goto(address + name, { waitUntil: 'networkidle' })
    return page
  }

  for (const name of ['/', '/decorator', '/getting-started', '/options', '/api/index/classes/NamedLockService']) {
    it(`is accessible and fits the screen: ${name}`, async () => {
      const axe = readFileSync(path.join(site, 'node_modules', 'axe-core', 'axe.min.js'), 'utf8')
      for (const [viewport, scheme] of [
        [wide, 'light'],
        [phone, 'light'],
        [wide, 'dark'],
        [phone, 'dark'],
      ] as const) {
        const page = await open(name, viewport, scheme)
        const screen = `${name}, ${viewport.width} px, ${scheme}`
        const excess = await page.evaluate('document.documentElement.scrollWidth - innerWidth')
        expect(excess, screen).to.equal(0)
        await page.evaluate(axe)
        const found: any = await page.evaluate('axe.run(document, { resultTypes: ["violations"] })')
        const texts = found.violations.map((one: any) => `${one.id}: ${one.nodes[0].html}`)
        expect(texts, screen).to.deep.equal([])
        await page.context().close()
      }
    })
  }

  it('answers questions by its search', async () => {
    const page = await open('/', wide)
    const unanswered: string[] = []
    for (const [question, answer] of Object.entries(questions)) {
      await page.goto(`${address}/`)
      await page.locator('.DocSearch-Button').click()
      await page.locator('.search-input').fill(question)
      await page.locator('.results .result').first().waitFor()
      const results = page.locator('.results .result')
      const found = (await results.evaluateAll((all) => all.map((one) => one.getAttribute('href')))).slice(0, 5)
      if (!found.some((one) => one?.startsWith(answer))) unanswered.push(`${question}: ${found.join(', ')}`)
    }
    expect(unanswered).to.deep.equal([])
  })

  it('has an entry in the sidebar for every page', async () => {
    const page = await open('/getting-started', wide)
    const links = await page.locator('.VPSidebar a').evaluateAll((all) => all.map((one) => one.getAttribute('href')))
    const pages = readFileSync(path.join(site, '..', 'README.md'), 'utf8').matchAll(/\]\(([\w-]+)\.md\)/g)
    const missing = [...pages].map(([, name]) => `/${name}`).filter((name) => !links.includes(name))
    expect(missing).to.deep.equal([])
  })

  it('writes no error to the console', () => expect(complaints).to.deep.equal([]))
})
