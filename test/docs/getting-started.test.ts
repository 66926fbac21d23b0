import { mkdir, mkdtemp, copyFile, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { expect } from 'chai'
import { after, before, describe, it } from 'mocha'
import { run } from '../../dev/servers/run.js'
import { packedPackage, root } from '../package/support/packed-package.js'
import { connectRoot, sharedServer } from '../support/servers.js'

/** A step of the page: write a file, run commands, or compare their output. */
interface Step {
  readonly heading: string
  readonly language: string
  readonly text: string
}

/** Titles of blocks that stand beside another one, which is the one to follow: other package managers, other servers. */
const alternatives = ['pnpm', 'yarn', 'MariaDB', 'PostgreSQL']

async function steps(): Promise<Step[]> {
  const page = await readFile(path.join(root, 'docs/getting-started.md'), 'utf8')
  const found: Step[] = []
  let heading = ''
  for (const [, title, language, tab, text] of page.matchAll(/^## (.+)$|^```(\w+)(?: \[(\w+)\])?\n([^]*?)^```$/gm)) {
    if (title) heading = title
    else if (!alternatives.includes(tab!)) found.push({ heading, language: language!, text: text! })
  }
  return found
}

describe('docs/getting-started.md, followed word by word', function () {
  this.timeout(600_000)
  let home: string
  let env: Record<string, string>

  before('have a database, and the package beside an empty folder', async () => {
    home = await mkdtemp(path.join(tmpdir(), 'getting-started-'))
    env = { DATABASE_URL: (await sharedServer('mysql')).url, NO_COLOR: '1', NO_UPDATE_NOTIFIER: '1' }
    // It downloads the same packages as `npm ci`, so their metadata is taken from the cache.
    Object.assign(env, { npm_config_prefer_offline: 'true', npm_config_audit: 'false', npm_config_fund: 'false' })
    const { tarball } = await packedPackage()
    await mkdir(path.join(home, 'typeorm-named-lock'))
    await copyFile(tarball, path.join(home, 'typeorm-named-lock', path.basename(tarball)))
  })

  after('remove everything', async () => {
    await rm(home, { recursive: true, force: true })
    const client = await connectRoot('mysql')
    await client.query('DROP TABLE IF EXISTS app.stock')
    await client.end()
    const postgres = await connectRoot('postgres')
    await postgres.query('DROP TABLE IF EXISTS stock')
    await postgres.end()
  })

  /** Runs the commands of a block, and returns the output of its programs. */
  async function runBlock(
    text: string,
    folder: string,
    server: Readonly<Record<string, string>> = {},
  ): Promise<string> {
    // Warnings of npm and Node.js are not output of the program.
    const script = `set -e; exec 2>'${home}/errors'\n${text}\npwd > '${home}/folder'\n`
    await writeFile(path.join(home, 'step.sh'), script)
    const options = { cwd: folder, env: { ...env, ...server } }
    return run(['sh', path.join(home, 'step.sh')], options).catch(async (error: unknown) => {
      throw new Error(`${String(error)}\n${await readFile(path.join(home, 'errors'), 'utf8')}`)
    })
  }

  it('works as described, on PostgreSQL too', async () => {
    const postgres = { DATABASE_URL: (await sharedServer('postgres')).url }
    let folder = home
    let printed = ''
    let count = 0
    for (const { heading, language, text } of await steps()) {
      const file = language === 'json' ? 'tsconfig.json' : /^\/\/ (\S+)\n/.exec(text)?.[1]
      if (language === 'sh') {
        printed = await runBlock(text, folder)
        folder = (await readFile(path.join(home, 'folder'), 'utf8')).trim()
        if (/^(node|npx tsx) /m.test(text)) expect(await runBlock(text, folder, postgres), heading).to.equal(printed)
      } else if (language === 'text') {
        expect(printed, heading).to.equal(text)
        count++
      } else if (file !== undefined) {
        await writeFile(path.join(folder, file), text)
      } else {
        expect(language, `a block of '${heading}' that is no step`).to.equal('console')
      }
    }
    expect(count).to.equal(4)
  })
})
