import { existsSync, readFileSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import ts from 'typescript'

const root = path.join(__dirname, '..', '..')

/** A page of the documentation, and what can be checked about it. */
export class Page {
  readonly text: string
  readonly #file: string

  /** @param name Its path in the project. */
  constructor(name: string) {
    this.#file = path.join(root, name)
    this.text = readFileSync(this.#file, 'utf8')
  }

  /** The code blocks of a language. */
  blocks(language: string): string[] {
    const fence = new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\`$`, 'gm')
    return [...this.text.matchAll(fence)].map((match) => match[1]!)
  }

  /** Files that are linked to and do not exist, and headings of them. */
  brokenLinks(): string[] {
    const links = [...this.text.matchAll(/\]\((?!https?:)([^)]+)\)/g)].map((match) => match[1]!)
    if (links.length === 0) throw new Error('There are no links at all.')
    return links.filter((link) => {
      const [file = '', heading] = link.split('#')
      const target = file ? path.join(path.dirname(this.#file), file) : this.#file
      return !existsSync(target) || (heading !== undefined && !headingsOf(target).includes(heading))
    })
  }

  /** Calls of the service, as in `locks.withLock(`. */
  get methods(): string[] {
    return [...this.text.matchAll(/\blocks\.(\w+)\(/g)].map((match) => match[1]!)
  }
}

/** Examples in a folder of their own, where the package has its name. */
export class Examples {
  private constructor(readonly folder: string) {}

  /** `texts`: whole files. */
  static async write(texts: readonly string[]): Promise<Examples> {
    await mkdir(path.join(root, '.cache'), { recursive: true })
    const folder = await mkdtemp(path.join(root, '.cache', 'examples-'))
    // Users have the package by its name; here it is the sources.
    const paths = { 'typeorm-named-lock': ['../../src/index.ts'], 'typeorm-named-lock/*': ['../../src/*/index.ts'] }
    const compilerOptions = { paths }
    await writeFile(
      path.join(folder, 'tsconfig.json'),
      JSON.stringify({ extends: '../../tsconfig.json', compilerOptions, include: ['*.ts'], exclude: [] }),
    )
    await Promise.all(texts.map((text, i) => writeFile(path.join(folder, `example-${i + 1}.ts`), text)))
    return new Examples(folder)
  }

  /** What the compiler has to say; nothing when all is well. */
  problems(): string {
    const config = path.join(this.folder, 'tsconfig.json')
    const { fileNames, options } = ts.parseJsonConfigFileContent(
      ts.readConfigFile(config, ts.sys.readFile).config,
      ts.sys,
      this.folder,
    )
    const problems = ts.getPreEmitDiagnostics(ts.createProgram(fileNames, options))
    const host = { getCurrentDirectory: () => this.folder, getCanonicalFileName: String, getNewLine: () => '\n' }
    return ts.formatDiagnostics(problems, host)
  }

  remove(): Promise<void> {
    return rm(this.folder, { recursive: true, force: true })
  }
}

/** What a heading is linked to by. */
function headingsOf(file: string): string[] {
  return [...readFileSync(file, 'utf8').matchAll(/^#+ (.*)$/gm)].map((match) =>
    match[1]!
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  )
}
