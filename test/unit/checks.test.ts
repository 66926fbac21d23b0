import { expect } from 'chai'
import { readdir, readFile } from 'node:fs/promises'
import path from 'node:path'
import type { Finding } from '../../src/index.js'
import { checkedCodes, resultsOf, resultsText } from '../../src/cli/checks.js'

const src = path.join(__dirname, '../../src')
const finding = (code: string, severity: Finding['severity'] = 'error'): Finding => ({
  code,
  severity,
  message: 'm',
  remedy: 'r',
})
const resultOf = (title: RegExp, findings: readonly Finding[], withLease = false) =>
  resultsOf(findings, withLease).find(({ check }) => title.test(check))?.result

describe('what named-lock check says it has checked', () => {
  it('has a place for every code that check() may find', async () => {
    const codes = new Set<string>()
    for (const room of ['inspect', 'dialect', 'session']) {
      for (const file of await readdir(path.join(src, room), { recursive: true })) {
        if (!file.endsWith('.ts')) continue
        const text = await readFile(path.join(src, room, file), 'utf8')
        for (const [, code] of text.matchAll(/\bcode: '([A-Z_]+)',\s+severity|\berror\(\s*'([A-Z_]+)'/g))
          if (code) codes.add(code)
      }
    }
    expect(codes.size).to.be.greaterThan(12)
    codes.delete('PROBE_INCOMPLETE') // it says of others that they were not checked
    expect([...codes].filter((code) => !checkedCodes.includes(code))).to.deep.equal([])
  })

  it('is all of it where nothing was found', () => {
    const results = resultsOf([], true)
    expect(results.map(({ result }) => result)).to.deep.equal(results.map(() => 'ok'))
    expect(resultsOf([], false)).to.have.length(results.length - 1)
  })

  it('shows the worst finding of each check', () => {
    const found = [finding('MISSING_GRANT_KILL', 'warning'), finding('LIST_INCOMPLETE', 'info')]
    expect(resultOf(/grants/, found)).to.equal('warning')
    expect(resultsText(resultsOf(found, false))).to.include('warning  grants: MISSING_GRANT_KILL, LIST_INCOMPLETE\n')
  })

  it('is not what the probe did not come to', () => {
    for (const code of ['SERVER_NOT_SUPPORTED', 'PROBE_INCOMPLETE']) {
      expect(resultOf(/exclude each other/, [finding(code)]), code).to.equal('not checked')
    }
    const shared = [finding('LOCKS_NOT_EXCLUSIVE')]
    expect(resultOf(/one server/, shared)).to.equal('ok')
    expect(resultOf(/exclude each other/, shared)).to.equal('error')
    expect(resultOf(/answered at once/, shared)).to.equal('not checked')
  })
})
