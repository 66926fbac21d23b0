import { expect } from 'chai'
import { listText } from '../../src/cli/list.js'
import type { Namespaces } from '../../src/cli/namespaces.js'
import { fitted, printable, table, widthOf } from '../../src/cli/format.js'

describe('the output of named-lock', () => {
  it('measures the width of a text on a terminal', () => {
    expect(['abc', 'né', 'ne\u0301', '日本', '🎉!'].map(widthOf)).to.deep.equal([3, 2, 2, 4, 3])
    expect(fitted('日本語', 5)).to.equal('日本…')
    expect(fitted('日本語', 4)).to.equal('日…')
  })

  it('shortens a long name in favour of the holder', () => {
    const rows = [
      ['NAME', 'HOLDER'],
      ['x'.repeat(900), 'connection 5, app@127.0.0.1'],
      ['日本', 'connection 6'],
    ]
    const lines = table(rows, 50).split('\n')
    expect(lines[1]).to.equal(`${'x'.repeat(20)}…  connection 5, app@127.0.0.1`)
    expect(lines[2]).to.equal(`日本${' '.repeat(17)}  connection 6`)
    for (const line of table(rows, 30).split('\n')) expect(widthOf(line)).to.be.at.most(30)
    // Without a terminal nothing is omitted, and other lines are not padded to the longest name.
    const [head, long, short] = table(rows).split('\n')
    expect(long).to.include('x'.repeat(900))
    expect([head!.length, short!.length].every((length) => length < 100)).to.equal(true)
  })

  it('does not claim that there are no locks if it cannot know', () => {
    const beside = { own: 'app', othersBeside: () => '' } as unknown as Namespaces
    expect(listText([], beside)).to.equal("No locks in namespace 'app'.")
    expect(listText(Object.assign([], { note: 'not all' }), beside)).to.equal(
      "No locks are known of in namespace 'app'.",
    )
  })

  it('escapes control characters', () => {
    expect(printable('\u001b[31m\u202e\n')).to.equal('\\u{1b}[31m\\u{202e}\\u{a}')
  })
})
