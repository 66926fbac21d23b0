import { existsSync } from 'node:fs'
import { mkdir, readdir, stat, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { attempt } from './run.js'
import type { Log } from './server-types.js'

const progressInterval = 3000

export interface DebianMirror {
  readonly uri: string
  /** The file with the keys that sign it. */
  readonly signedBy: string | undefined
  /** A mirror of the security updates only. */
  readonly security: boolean
}

/**
 * A separate state for the package manager, in `folder`. In this state nothing is installed, so the manager lists every
 * library that a package needs. It writes nowhere else, so it needs no privileges.
 */
export class PrivateApt {
  readonly #folder: string
  readonly #log: Log

  private constructor(folder: string, log: Log) {
    this.#folder = folder
    this.#log = log
  }

  /** `sources`: lines of a sources.list; by default those of the machine. */
  static async create(folder: string, log: Log, sources?: readonly string[]): Promise<PrivateApt> {
    for (const name of ['state/lists/partial', 'cache/archives/partial']) {
      await mkdir(path.join(folder, name), { recursive: true })
    }
    const lines = [
      `Dir::State "${folder}/state";`,
      `Dir::State::status "${folder}/status";`,
      `Dir::Cache "${folder}/cache";`,
      'APT::Sandbox::User "";', // the system's download user cannot write here, and need not
      'Acquire::Languages "none";',
      // The system's hooks are for its own state.
      '#clear APT::Update::Pre-Invoke;',
      '#clear APT::Update::Post-Invoke;',
      '#clear APT::Update::Post-Invoke-Success;',
    ]
    if (sources) {
      lines.push(`Dir::Etc::sourcelist "${folder}/sources.list";`, 'Dir::Etc::sourceparts "/dev/null";')
      await writeFile(path.join(folder, 'sources.list'), `${sources.join('\n')}\n`)
    }
    await writeFile(path.join(folder, 'status'), '')
    await writeFile(path.join(folder, 'apt.conf'), lines.join('\n'))
    return new PrivateApt(folder, log)
  }

  /** One of many sources may fail without harm. A package that is missing because of it fails later, with a reason. */
  async update(): Promise<void> {
    this.#log('Fetching package lists')
    const { output } = await this.#attempt('apt-get', ['update'])
    for (const line of output.split('\n')) {
      if (/^(Fetched|[EW]:)/.test(line)) this.#log(`  ${line}`)
    }
  }

  /** Names of the packages with that prefix, oldest version first. */
  async find(start: string): Promise<string[]> {
    const names = (await this.#run('apt-cache', ['pkgnames', start])).split('\n').filter(Boolean)
    return names.sort((a, b) => a.localeCompare(b, 'en', { numeric: true }))
  }

  /**
   * Fetches a package with all dependencies, or only the wanted ones of these; resolves to the paths of the archives.
   */
  async download(name: string, isWanted?: (name: string) => boolean): Promise<string[]> {
    const install = ['-y', '--no-install-recommends', '--download-only', 'install', name]
    const plan = await this.#run('apt-get', ['--print-uris', ...install])
    const all = [...plan.matchAll(/^'[^']+' ([^\s_]+)_\S+ (\d+)/gm)].map(([, one = '', size]) => ({ name: one, size }))
    const wanted = isWanted ? all.filter((one) => isWanted(one.name)) : all
    const total = wanted.reduce((sum, { size }) => sum + Number(size), 0)
    this.#log(`Downloading ${name} and its dependencies: ${wanted.length} packages, ${megabytes(total)}`)
    const archives = path.join(this.#folder, 'cache/archives')
    const progress = setInterval(() => {
      void sizeOf(archives).then((size) => this.#log(`  ${megabytes(size)} of ${megabytes(total)}`))
    }, progressInterval)
    try {
      // The archives are written to the working directory of the command.
      const output = isWanted
        ? await this.#run('apt-get', ['download', ...wanted.map((one) => one.name)], archives)
        : await this.#run('apt-get', install)
      this.#log(`  ${/^Fetched .*$/m.exec(output)?.[0] ?? 'done'}`)
    } finally {
      clearInterval(progress)
    }
    return archivesIn(archives)
  }

  /** Fetches a package without its dependencies; resolves to the path of the archive. */
  async downloadAlone(name: string): Promise<string[]> {
    const folder = path.join(this.#folder, name)
    await mkdir(folder)
    await this.#run('apt-get', ['download', name], folder)
    return archivesIn(folder)
  }

  /** The machine's own mirrors of Debian and of its security updates, in this order, at most one of each. */
  async debianMirrors(): Promise<DebianMirror[]> {
    const format = '$(REPO_URI)|$(ORIGIN)|$(LABEL)|$(SIGNED_BY)'
    const lines = (await this.#run('apt-get', ['indextargets', '--format', format])).split('\n')
    const found = ['Debian', 'Debian-Security'].map((wanted): DebianMirror | undefined => {
      const fields = lines.map((line) => line.split('|'))
      const [uri, , , signedBy] = fields.find(([, origin, label]) => origin === 'Debian' && label === wanted) ?? []
      if (!uri) return undefined
      // The key of a release may not sign another release; this file has the keys of all.
      const keys = ['/usr/share/keyrings/debian-archive-keyring.gpg', signedBy ?? '']
      const key = keys.find((each) => each.startsWith('/') && existsSync(each))
      return { uri, signedBy: key, security: wanted !== 'Debian' }
    })
    return found.filter((mirror) => mirror !== undefined)
  }

  async #run(command: string, args: readonly string[], cwd?: string): Promise<string> {
    const { code, output } = await this.#attempt(command, args, cwd)
    if (code === 0) return output
    const errors = output.split('\n').filter((line) => /^[EW]:/.test(line))
    throw new Error(`${command} ${args.join(' ')} failed: ${errors.join(' ') || output.slice(-500)}`)
  }

  #attempt(command: string, args: readonly string[], cwd?: string) {
    const env = { LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' }
    return attempt([command, '-q', '-c', path.join(this.#folder, 'apt.conf'), ...args], { env, cwd })
  }
}

async function archivesIn(folder: string): Promise<string[]> {
  const files = await readdir(folder)
  return files.filter((file) => file.endsWith('.deb')).map((file) => path.join(folder, file))
}

/** The bytes received so far, including partial files. */
async function sizeOf(folder: string): Promise<number> {
  const files = await readdir(folder, { recursive: true }).catch(() => [])
  const sizes = await Promise.all(
    files.map((file) =>
      stat(path.join(folder, file)).then(
        (info) => (info.isFile() ? info.size : 0),
        () => 0, // the file has just been moved
      ),
    ),
  )
  return sizes.reduce((sum, size) => sum + size, 0)
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`
}
