import { existsSync, readFileSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import ts from 'typescript'

const root = path.join(__dirname, '..', '..')

/** A page of the documentation, and the checks for it. */
export class Page {
  readonly text: string
  readonly #file: string

  /** @param name Its path in the project. */
  constructor(name: string) {
    this.#file = path.join(root, name)
    this.text = readFileSync(this.#file, 'utf8')
  }

  /** The code blocks of a language, with a tab's title in brackets or without. */
  blocks(language: string): string[] {
    const fence = new RegExp(`^\`\`\`${language}(?: \\[.+\\])?\\n([^]*?)^\`\`\`$`, 'gm')
    return [...this.text.matchAll(fence)].map((match) => match[1]!)
  }

  /** Links to missing files or missing headings. */
  brokenLinks(): string[] {
    const links = [...this.text.matchAll(/\]\((?!https?:)([^)]+)\)/g)].map((match) => match[1]!)
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

/** Examples in a separate folder, where the package can be imported by its name. All are compiled together. */
export class Examples {
  private constructor(readonly folder: string) {}

  /** @param files Whole files by their names; problems are reported by name. */
  static async write(files: Readonly<Record<string, string>>): Promise<Examples> {
    await mkdir(path.join(root, '.cache'), { recursive: true })
    const folder = await mkdtemp(path.join(root, '.cache', 'examples-'))
    // Users import the package by its name; here the name leads to the sources.
    const paths = { 'typeorm-named-lock': ['../../src/index.ts'], 'typeorm-named-lock/*': ['../../src/*/index.ts'] }
    await writeFile(
      path.join(folder, 'tsconfig.json'),
      JSON.stringify({ extends: '../../tsconfig.json', compilerOptions: { paths }, include: ['*.ts'], exclude: [] }),
    )
    await Promise.all(Object.entries(files).map(([name, text]) => writeFile(path.join(folder, name), text)))
    return new Examples(folder)
  }

  /** The errors of the compiler; empty if there are none. */
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

/**
 * An example as a file that compiles: its imports go to the top, the rest goes into a function, after the declarations
 * that the page assumes. An ellipsis stands for omitted code.
 */
export function exampleFile(example: string, given: string): string {
  const imports = [...example.matchAll(/^import .*$/gm)].map((match) => match[0])
  const imported = new Set(imports.flatMap((line) => namesIn(line)))
  const rest = example
    .replace(/^import .*$/gm, '')
    .replace(/\{ … \}/g, '{}')
    .replace(/^\s*…$/gm, '')
    .replace(/^export /gm, '')
  const others = given.replace(
    /^import (type )?\{(.*)\} from (.*)$/gm,
    (_, type: string | undefined, list: string, from) => {
      const names = list.split(',').filter((name) => !imported.has(name.replace(/^\s*type /, '').trim()))
      return `import ${type ?? ''}{${names.join(',')}} from ${from}`
    },
  )
  return `${imports.join('\n')}\n${others}\nexport async function example() {\n${rest}\n}\n`
}

function namesIn(line: string): string[] {
  const list = /\{(.*)\}/.exec(line)?.[1] ?? ''
  return list.split(',').map((name) => name.replace(/^\s*type /, '').trim())
}

/** The anchors of a file: of its headings, and those that are set before a heading. */
function headingsOf(file: string): string[] {
  const text = readFileSync(file, 'utf8')
  const headings = [...text.matchAll(/^#+ (.*)$/gm)].map((match) =>
    match[1]!
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  )
  return [...headings, ...[...text.matchAll(/<a id="([\w-]+)"><\/a>/g)].map((match) => match[1]!)]
}
