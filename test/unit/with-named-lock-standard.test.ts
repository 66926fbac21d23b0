import { readFileSync } from 'node:fs'
import Module from 'node:module'
import path from 'node:path'
import { expect } from 'chai'
import { before, describe, it } from 'mocha'
import ts from 'typescript'
import * as library from '../../src/index.js'
import { NamedLockConfigurationError } from '../../src/index.js'
import { rejection } from '../support/rejection.js'
import { FakeLockService } from './fake-lock-service.js'

const file = path.join(__dirname, '../types/standard-decorators.standard.ts')

/**
 * The exports of the file. It is not imported, because this program has legacy decorators and would report errors in
 * it.
 */
interface Fixture {
  Orders: any
  mistakes: readonly [message: RegExp, define: () => unknown][]
}

function load(): Fixture {
  const { outputText } = ts.transpileModule(readFileSync(file, 'utf8'), {
    compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.CommonJS, experimentalDecorators: false },
    fileName: file,
  })
  const exports = {}
  const require = (name: string): unknown =>
    name === 'typeorm-named-lock' ? library : Module.createRequire(file)(name)
  // eslint-disable-next-line @typescript-eslint/no-implied-eval -- the output of the compiler, as `require` would run it
  new Function('exports', 'require', outputText)(exports, require)
  return exports as Fixture
}

describe('@WithNamedLock as a standard decorator', () => {
  let Orders: Fixture['Orders']
  let mistakes: Fixture['mistakes']
  const service = (): FakeLockService => new FakeLockService()

  before('compile the classes', () => {
    ;({ Orders, mistakes } = load())
  })

  it('runs a method under the lock, with its this and arguments', async () => {
    const locks = service()
    expect(await new Orders(locks).pay(7)).to.equal('order 7 none')
    expect(locks.calls).to.deep.equal([
      { by: 'withLock', name: 'order:7', options: { timeout: 5_000, reentrant: true, signal: undefined } },
    ])
  })

  it('works on #private methods', async () => {
    const locks = service()
    const orders = new Orders(locks)
    expect(await orders.hidden(21)).to.equal(42)
    expect(locks.calls.map((call) => call.name)).to.deep.equal(['hidden'])
    expect(orders.hiddenMethod).to.include({ name: '#hidden', length: 1 })
  })

  it('works on static methods', async () => {
    const locks = service()
    Orders.locks = locks
    expect(await Orders.every()).to.equal(Orders)
    expect(locks.calls.map((call) => call.name)).to.deep.equal(['static'])
  })

  it('keeps name, arity and place of the method', () => {
    expect(Orders.prototype.pay).to.include({ name: 'pay', length: 1 })
    const { enumerable, writable, configurable } = Object.getOwnPropertyDescriptor(Orders.prototype, 'pay')!
    expect({ enumerable, writable, configurable }).to.deep.equal({
      enumerable: false,
      writable: true,
      configurable: true,
    })
  })

  it('stacks', async () => {
    const locks = service()
    await new Orders(locks).stacked()
    expect(locks.calls.map((call) => call.name)).to.deep.equal(['a', 'b'])
  })

  it('skips when busy', async () => {
    const locks = Object.assign(service(), { isBusy: true })
    expect(await new Orders(locks).skipped()).to.equal(undefined)
  })

  it('names the #private method that finds no service', async () => {
    const error = await rejection(new Orders(undefined).hidden(1), NamedLockConfigurationError)
    expect(error.message).to.match(/^Orders\.#hidden: /)
  })

  it('refuses members other than asynchronous methods', () => {
    expect(mistakes).to.have.length(7)
    for (const [message, define] of mistakes) expect(define).to.throw(NamedLockConfigurationError, message)
  })
})
