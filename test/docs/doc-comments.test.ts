import path from 'node:path'
import { expect } from 'chai'
import ts from 'typescript'
import { Examples, exampleFile } from './page.js'

const root = path.join(__dirname, '../..')
const entries = ['index', 'nestjs/index', 'testing/index', 'opentelemetry/index'].map((entry) =>
  path.join(root, 'src', `${entry}.ts`),
)

/** What the examples of doc comments assume. */
const GIVEN = `
import { InvalidLockNameError, type LeaderTerm, NamedLock, NamedLockService, NamedLockTimeoutError, WithNamedLock, parseDuration } from 'typeorm-named-lock'
import { InMemoryNamedLockService } from 'typeorm-named-lock/testing'
import { InjectNamedLocks, NamedLockHealthIndicator, WhileLeader } from 'typeorm-named-lock/nestjs'
import { instrumentNamedLocks } from 'typeorm-named-lock/opentelemetry'
import { HealthCheckService } from '@nestjs/terminus'
import { DataSource, EntityManager } from 'typeorm'
import assert from 'node:assert'
declare const dataSource: DataSource
declare const locks: NamedLockService
declare const id: number
declare const event: { id: string }
declare const order: { id: number; total: number }
declare const account: object
declare const from: number, to: number
declare const health: HealthCheckService
declare const lockHealth: NamedLockHealthIndicator
declare const shutdown: AbortSignal
declare const metrics: { count(name: string): void }
declare function charge(signal?: AbortSignal): Promise<void>
declare function settle(manager: EntityManager, what: unknown): Promise<void>
declare function report(): Promise<void>
declare function makeReport(manager: EntityManager): Promise<void>
declare function tick(signal: AbortSignal): Promise<void>
declare function test(title: string, work: () => Promise<void>): void
`

/** A public declaration: an export, or a member of an exported class or interface. */
interface Public {
  readonly name: string
  readonly symbol: ts.Symbol
}

/*
 * Editors show the doc comments of exports and of their members. Everything that a caller can name has one, each error has a link,
 * and the examples compile.
 */
describe('the doc comments of the public API', function () {
  this.timeout(120_000)
  let all: Public[]
  let checker: ts.TypeChecker

  before(() => {
    const config = ts.readConfigFile(path.join(root, 'tsconfig.json'), (file) => ts.sys.readFile(file))
    const { options } = ts.parseJsonConfigFileContent(config.config, ts.sys, root)
    const program = ts.createProgram(entries, { ...options, noEmit: true })
    checker = program.getTypeChecker()
    all = entries.flatMap((entry) => {
      const module = checker.getSymbolAtLocation(program.getSourceFile(entry) as ts.SourceFile) as ts.Symbol
      return checker.getExportsOfModule(module).flatMap((exported) => publicOf(exported, checker))
    })
  })

  it('are there for every export and every member', () => {
    expect(all.length).to.be.greaterThan(200)
    const without = all.filter(({ symbol }) => ts.displayPartsToString(symbol.getDocumentationComment(checker)) === '')
    expect(without.map(({ name }) => name)).to.deep.equal([])
  })

  it('link the error of each @throws', () => {
    const wrong = all.flatMap(({ name, symbol }) =>
      // A brace right behind the tag is a type for the compiler, and editors then show nothing else.
      tagsOf(symbol, 'throws', checker)
        .filter((text) => !/^An? \{@link \w+ ?\}: [A-Z`]/.test(text))
        .map((text) => `${name}: ${text}`),
    )
    expect(wrong).to.deep.equal([])
  })

  it('have an example on every call of the service', () => {
    const calls = all.filter(({ name, symbol }) => {
      return name.startsWith('NamedLockService.') && symbol.flags & ts.SymbolFlags.Method
    })
    expect(calls.length).to.be.greaterThan(15)
    const without = calls.filter(({ symbol }) => tagsOf(symbol, 'example', checker).length === 0)
    expect(without.map(({ name }) => name)).to.deep.equal([])
  })

  it('have examples that compile', async () => {
    const examples = all.flatMap(({ name, symbol }) =>
      tagsOf(symbol, 'example', checker).map((text, at): [string, string] => [
        `${name.replace(/\W/g, '-')}-${at}.ts`,
        exampleFile(text.replace(/^```ts\n|^```$/gm, ''), GIVEN),
      ]),
    )
    expect(examples.length).to.be.greaterThan(20)
    const files = await Examples.write(Object.fromEntries(examples))
    try {
      expect(files.problems()).to.equal('')
    } finally {
      await files.remove()
    }
  })
})

function publicOf(exported: ts.Symbol, checker: ts.TypeChecker): Public[] {
  const symbol = exported.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported
  const name = symbol.getName()
  const isType = symbol.flags & (ts.SymbolFlags.Class | ts.SymbolFlags.Interface)
  const members = isType ? [...(symbol.members?.values() ?? []), ...staticsOf(symbol)] : []
  return [
    { name, symbol },
    ...members.filter(isPublic).map((one) => ({ name: `${name}.${one.getName()}`, symbol: one })),
  ]
}

function staticsOf(symbol: ts.Symbol): ts.Symbol[] {
  return symbol.flags & ts.SymbolFlags.Class ? [...(symbol.exports?.values() ?? [])] : []
}

/** Members that a caller can name; those of a well-known symbol, and those that Nest calls, explain themselves. */
function isPublic(member: ts.Symbol): boolean {
  const name = member.getName()
  if (/^(#|__|prototype$|onModule|onApplication|beforeApplication)/.test(name)) return false
  const modifiers = (member.declarations ?? []).map((one) => ts.getCombinedModifierFlags(one))
  const hidden = ts.ModifierFlags.Private | ts.ModifierFlags.Protected
  return member.flags !== ts.SymbolFlags.TypeParameter && modifiers.every((flags) => !(flags & hidden))
}

function tagsOf(symbol: ts.Symbol, tag: string, checker: ts.TypeChecker): string[] {
  const found = symbol.getJsDocTags(checker).filter(({ name }) => name === tag)
  return [...new Set(found.map(({ text }) => ts.displayPartsToString(text).trim()))]
}
