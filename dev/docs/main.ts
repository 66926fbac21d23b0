/*
 * The documentation site: `npm run docs` serves it, `npm run docs:build` builds it. Its packages are installed here, on
 * first use, so that `npm ci` does not install them; typedoc writes the API's pages first.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'

const root = path.join(__dirname, '..', '..')
const site = path.join(root, 'docs', '.vitepress')
const api = path.join(root, 'docs', 'api')

const [command, ...options] = process.argv.slice(2)
if (command !== 'dev' && command !== 'build' && command !== 'preview') {
  console.error('Usage: tsx dev/docs/main.ts dev|build|preview [options of vitepress]')
  process.exit(2)
}
installPackages()
if (command !== 'preview') writeApiPages()
run('docs/.vitepress/node_modules/vitepress/bin/vitepress.js', [command, 'docs', ...options])

function installPackages(): void {
  const installed = path.join(site, 'node_modules', '.package-lock.json')
  const lock = path.join(site, 'package-lock.json')
  if (existsSync(installed) && statSync(installed).mtimeMs >= statSync(lock).mtimeMs) return
  const { status } = spawnSync('npm', ['ci', '--no-audit', '--no-fund'], { cwd: site, stdio: 'inherit' })
  if (status !== 0) process.exit(status ?? 1)
}

function writeApiPages(): void {
  rmSync(api, { recursive: true, force: true })
  run('node_modules/typedoc/bin/typedoc', ['--options', 'docs/.vitepress/typedoc.json'])
  // typedoc names an entry point after its file; readers know it by what they import.
  for (const name of ['index', 'nestjs', 'testing', 'opentelemetry']) {
    const page = path.join(api, name, 'index.md')
    const entry = name === 'index' ? 'typeorm-named-lock' : `typeorm-named-lock/${name}`
    writeFileSync(page, readFileSync(page, 'utf8').replace(`# ${name}\n`, `# ${entry}\n`))
  }
}

function run(script: string, options: readonly string[]): void {
  const { status } = spawnSync(process.execPath, [script, ...options], { cwd: root, stdio: 'inherit' })
  if (status !== 0) process.exit(status ?? 1)
}
