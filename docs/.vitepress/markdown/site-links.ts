/*
 * Links between files of the project, as the repository's own pages understand them, become links of the site. A file
 * that is no page becomes a link to the repository, or plain text where the repository's address is unknown.
 */
import { existsSync } from 'node:fs'
import path from 'node:path'
import type { MarkdownRenderer } from 'vitepress'
import { projectPages } from '../project-pages.js'
import { sourceAddress } from '../repository.js'

const root = path.join(import.meta.dirname, '..', '..', '..')

/** Files of the project that are pages of the site under another address. */
const pages = new Map([
  ['README.md', '/'],
  ['docs/README.md', '/overview'],
  ...projectPages.map(({ file, page }) => [file, `/project/${page}`] as const),
])

export function siteLinks(md: MarkdownRenderer): void {
  md.core.ruler.push('site-links', (state) => {
    const from = sourceOf(state.env.path)
    for (const { children } of state.tokens) {
      let isPlain = false
      for (const token of children ?? []) {
        if (token.type === 'link_open') {
          const href = addressFor(token.attrGet('href') ?? '', from)
          isPlain = href === undefined
          if (href !== undefined) token.attrSet('href', href)
        }
        if (isPlain && token.type.startsWith('link_')) {
          if (token.type === 'link_close') isPlain = false
          Object.assign(token, { type: 'text', content: '', tag: '', nesting: 0 })
        }
      }
    }
  })
}

/** The file of the project that a page of the site is made from. */
function sourceOf(file: string): string {
  const name = path.relative(root, file).replaceAll(path.sep, '/')
  const page = /^docs\/project\/(.+)\.md$/.exec(name)?.[1]
  return projectPages.find((one) => one.page === page)?.file ?? name
}

/** @returns undefined for a file that the site cannot link to. */
function addressFor(href: string, from: string): string | undefined {
  if (/^([a-z]+:|#|\/)/.test(href)) return href
  const [target = '', anchor] = href.split('#')
  const file = path.posix.join(path.posix.dirname(from), target)
  const hash = anchor === undefined ? '' : `#${anchor}`
  const page = pages.get(file)
  if (page !== undefined) return page + hash
  if (file.startsWith('docs/') && file.endsWith('.md')) return `/${file.slice('docs/'.length)}${hash}`
  if (file.startsWith('docs/') || !existsSync(path.join(root, file))) return href // VitePress reports it
  return sourceAddress(file)
}
