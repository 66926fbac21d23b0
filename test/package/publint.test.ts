import { readFile } from 'node:fs/promises'
import { expect } from 'chai'
import { describe, it } from 'mocha'
import { packedPackage } from './support/packed-package.js'

describe('the package under package linters', function () {
  this.timeout(120_000)

  it('passes publint', async () => {
    const { publint } = await import('publint')
    const { formatMessage } = await import('publint/utils')
    const { tarball } = await packedPackage()
    const { messages, pkg } = await publint({ pack: { tarball: new Uint8Array(await readFile(tarball)).buffer } })
    expect(messages.map((message) => formatMessage(message, pkg, { color: false }))).to.deep.equal([])
  })

  it('has types for every kind of module resolution', async () => {
    const { checkPackage, createPackageFromTarballData } = await import('@arethetypeswrong/core')
    const { tarball } = await packedPackage()
    const result = await checkPackage(createPackageFromTarballData(await readFile(tarball)))
    if (!result.types) throw new Error('attw finds no types at all')
    expect(Object.keys(result.entrypoints)).to.include.members(['.', './testing', './opentelemetry'])
    expect(result.problems).to.deep.equal([])
  })
})
