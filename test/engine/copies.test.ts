import { expect } from 'chai'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import * as mine from '../../src/index.js'
import { forEachDialect } from '../support/conformance.js'
import { rejection } from '../support/rejection.js'
import type { DataSource } from '../support/typeorms.js'

type Package = typeof mine

const root = path.join(__dirname, '..', '..')
const source = path.join(root, 'src')

/** The package once more, in another folder, as linked packages and conflicting peer dependencies bring it. */
function copyInFolder(version?: string): { library: Package; folder: string } {
  const folder = mkdtempSync(path.join(tmpdir(), 'named-lock-copy-'))
  cpSync(source, path.join(folder, 'src'), { recursive: true })
  const manifest = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as { version: string }
  writeFileSync(path.join(folder, 'package.json'), JSON.stringify({ ...manifest, ...(version && { version }) }))
  symlinkSync(path.join(root, 'node_modules'), path.join(folder, 'node_modules'))
  return { library: createRequire(path.join(folder, 'package.json'))('./src/index.ts') as Package, folder }
}

/** The package loaded anew, as jest.resetModules() does. */
function copyLoadedAnew(): { library: Package } {
  const loader = createRequire(__filename)
  const before = Object.entries(loader.cache).filter(([file]) => file.startsWith(source))
  for (const [file] of before) delete loader.cache[file]
  const library = loader('../../src/index.ts') as Package
  for (const [file, module] of before) loader.cache[file] = module
  return { library }
}

describe('a second copy of the package', () => {
  const folders: string[] = []
  const copies = [
    { how: 'in another folder', load: () => copyInFolder() },
    { how: 'loaded anew', load: (): { library: Package; folder?: string } => copyLoadedAnew() },
  ]

  after(() => {
    for (const folder of folders) rmSync(folder, { recursive: true, force: true })
  })

  forEachDialect((ctx) => {
    for (const { how, load } of copies) {
      describe(how, () => {
        let theirs: Package

        before(() => {
          const { library, folder } = load()
          theirs = library
          if (folder) folders.push(folder)
        })

        const service = (dataSource: DataSource, options: mine.NamedLockServiceOptions = {}) =>
          ctx.adopt(new theirs.NamedLockService(dataSource, options))

        it('is another one', () => {
          expect(theirs.NamedLockService).not.to.equal(mine.NamedLockService)
        })

        it('has services that decorated methods find, as a property and by the DataSource', async () => {
          const dataSource = await ctx.dataSource()
          const locks = service(dataSource, { namespace: `${ctx.database}_shop` })
          class ByProperty {
            readonly locks = locks
            readonly dataSource = dataSource
            @mine.WithNamedLock('a')
            async call(): Promise<string> {
              return mine.NamedLock.current('a')?.key ?? 'none'
            }
          }
          class ByDataSource {
            readonly dataSource = dataSource
            @mine.WithNamedLock('a')
            async call(): Promise<string> {
              return theirs.NamedLock.current('a')?.key ?? 'none'
            }
          }
          const key = ctx.keyOf('a', `${ctx.database}_shop`)
          expect(await new ByProperty().call()).to.equal(key)
          expect(await new ByDataSource().call()).to.equal(key)
          expect(mine.NamedLockService.for(dataSource)).to.equal(locks)
          mine.NamedLockService.setDefault(locks)
          expect(theirs.NamedLockService.getDefault()).to.equal(locks)
          mine.NamedLockService.setDefault(undefined)
        })

        it('has services that exclude those of this one, and share their connections', async () => {
          const dataSource = await ctx.dataSource({ poolSize: 3 })
          const pair = [await ctx.service({}, dataSource), service(dataSource)]
          let inside = 0
          let most = 0
          const work = async () => {
            most = Math.max(most, ++inside)
            await dataSource.query('SELECT 1')
            inside--
          }
          const calls = Array.from({ length: 60 }, (_, i) => {
            const locks = pair[i % 2]!
            if (i % 5 === 0) return locks.transaction('hot', { timeout: '15s' }, () => locks.outside(work))
            return locks.withLock('hot', { timeout: '15s', session: i % 7 === 0 ? 'dedicated' : 'shared' }, work)
          })
          await Promise.all(calls)
          expect(most).to.equal(1)
        })

        it('shares re-entrance, deadlocks and the guard of transactions', async () => {
          const dataSource = await ctx.dataSource()
          const ours = await ctx.service({}, dataSource)
          const other = service(dataSource)
          await ours.withLock('a', async () => {
            await rejection(other.acquire('a'), mine.NamedLockReentrancyError)
            await rejection(other.acquire('a'), theirs.NamedLockReentrancyError)
            const again = await other.withLock('a', { reentrant: true }, (lock) => lock.isHeld)
            expect(again).to.equal(true)
            expect(theirs.NamedLock.current('a')).to.be.instanceOf(mine.NamedLock)
          })
          for (const [outer, inner] of [
            [ours, other],
            [other, ours],
          ] as const) {
            await dataSource.transaction(async () => {
              await rejection(
                inner.withLock('b', () => undefined),
                mine.NamedLockInsideTransactionError,
              )
            })
            await outer.transaction('c', async (manager) => {
              await rejection(
                inner.withLock('b', () => undefined),
                mine.NamedLockInsideTransactionError,
              )
              await inner.transaction('c', (nested) => nested.query('SELECT 1'))
              await inner.lockTransaction(manager, 'd')
            })
          }
          const both = [sleep(50), sleep(50)]
          const results = await Promise.all([
            ours.withLock('x', () => both[0]!.then(() => other.withLock('y', () => 1))).catch((error: Error) => error),
            other.withLock('y', () => both[1]!.then(() => ours.withLock('x', () => 2))).catch((error: Error) => error),
          ])
          expect(results.filter((one) => one instanceof mine.NamedLockDeadlockError)).to.have.length(1)
        })

        it('has errors and handles that are instances of the classes of this one', async () => {
          const dataSource = await ctx.dataSource()
          const held = await service(dataSource).acquire('a')
          expect(held).to.be.instanceOf(mine.NamedLock)
          const error = await rejection((await ctx.service({}, dataSource)).acquire('a', { timeout: 50 }))
          expect(error).to.be.instanceOf(mine.NamedLockTimeoutError)
          expect(error).to.be.instanceOf(theirs.NamedLockTimeoutError)
          expect(error).to.be.instanceOf(theirs.NamedLockError)
          expect(error).not.to.be.instanceOf(theirs.NamedLockLostError)
          await held.release()
          class Derived extends mine.NamedLockError {}
          expect(new Derived('x')).to.be.instanceOf(theirs.NamedLockError)
          expect(error).not.to.be.instanceOf(Derived)
        })
      })
    }

    it('of another version is refused on the DataSource, with the folders of both', async () => {
      const { library, folder } = copyInFolder('0.0.1')
      folders.push(folder)
      const dataSource = await ctx.dataSource()
      const locks = await ctx.service({}, dataSource)
      await locks.withLock('a', () => undefined)
      for (const make of [
        () => new library.NamedLockService(dataSource),
        () => library.NamedLockService.for(dataSource),
      ]) {
        expect(make).to.throw(mine.NamedLockConfigurationError, new RegExp(`${source}.*${folder}`))
      }
    })
  })
})
