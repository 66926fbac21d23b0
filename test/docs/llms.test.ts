import { readdirSync } from 'node:fs'
import path from 'node:path'
import { expect } from 'chai'
import { describe, it } from 'mocha'
import { NamedLockService } from '../../src/index.js'
import { root } from '../package/support/packed-package.js'
import { Page } from './page.js'

/** Not pages of their own: the index of the folder, and the front page of the site. */
const INDEXES = ['README.md', 'index.md']

const index = new Page('docs/llms.txt')
const entries = [...index.text.matchAll(/^- \[(.*?)\]\((.*?)\): (.*)$/gm)].map(([, title, file]) => ({ title, file }))

describe('docs/llms.txt', () => {
  it('has the form: a title, a summary, and sections of links', () => {
    expect(index.text).to.match(/^# typeorm-named-lock\n\n> .+\n/)
    const sections = index.text.split(/^## .*\n/m).slice(1)
    expect(sections).to.have.length.at.least(3)
    for (const section of sections) expect(section.trim()).to.match(/^(- \[.*\]\([\w-]+\.md\): .+(\n|$))+$/)
  })

  it('lists every page once, by its title', () => {
    const pages = readdirSync(path.join(root, 'docs')).filter((name) => name.endsWith('.md') && !INDEXES.includes(name))
    expect(entries.map(({ file }) => file).sort()).to.deep.equal(pages.sort())
    for (const { title, file } of entries)
      expect(new Page(`docs/${file}`).text)
        .to.match(/^# .*/m)
        .and.include(`# ${title}\n`)
  })

  it('names only existing calls', () => {
    expect(index.methods).to.include.members(['withLock', 'transaction'])
    for (const method of new Set(index.methods)) expect(NamedLockService.prototype).to.respondTo(method)
  })
})
