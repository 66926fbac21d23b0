/*
 * The documentation site: the pages of docs/, which stay plain markdown, and the API pages that typedoc writes to docs/api.
 * `npm run docs` serves it, `npm run docs:build` builds it into docs/.vitepress/dist.
 */
import { cpSync, readdirSync } from 'node:fs'
import path from 'node:path'
import { defineConfig } from 'vitepress'
import { readableTables } from './markdown/readable-tables.js'
import { siteLinks } from './markdown/site-links.js'
import { tabs } from './markdown/tabs.js'
import { repository } from './repository.js'
import { sidebar } from './sidebar.js'

const base = process.env.DOCS_BASE ?? '/'

export default defineConfig({
  lang: 'en',
  title: 'typeorm-named-lock',
  description: 'Distributed locks for TypeORM with MySQL, MariaDB and PostgreSQL',
  base,
  cleanUrls: true,
  lastUpdated: false,
  /** Language models read llms.txt, whose links lead to the pages as markdown. */
  buildEnd({ srcDir, outDir }) {
    for (const name of readdirSync(srcDir)) {
      if (/\.md$|^llms\.txt$/.test(name)) cpSync(path.join(srcDir, name), path.join(outDir, name))
    }
  },
  // On the repository's own pages README.md is the index of the folder; the site has a front page of its own.
  rewrites: { 'README.md': 'overview.md' },
  head: [['link', { rel: 'icon', type: 'image/svg+xml', href: `${base}lock.svg` }]],
  markdown: {
    theme: { light: 'github-light-high-contrast', dark: 'github-dark-high-contrast' },
    // Headings have the anchors that the repository's own pages give them; test/docs checks the links to them.
    anchor: {
      slugify: (heading) =>
        heading
          .trim()
          .toLowerCase()
          .replace(/[^\p{L}\p{N} _-]/gu, '')
          .replaceAll(' ', '-'),
    },
    config(md) {
      md.use(tabs)
      md.use(siteLinks)
      md.use(readableTables)
    },
  },
  themeConfig: {
    nav: [
      { text: 'Guide', link: '/getting-started', activeMatch: '^/(getting-started|decorator|transactions|nestjs)' },
      { text: 'Production', link: '/operations' },
      { text: 'API', link: '/api/', activeMatch: '^/api/' },
      { text: 'Overview', link: '/overview' },
    ],
    sidebar: sidebar(),
    outline: { level: [2, 3] },
    socialLinks: repository ? [{ icon: 'github', link: repository }] : [],
    ...(repository && { editLink: { pattern: `${repository}/edit/main/docs/:path`, text: 'Edit this page' } }),
    search: {
      provider: 'local',
      options: {
        miniSearch: {
          options: {
            /** Words that say nothing about a page do not count, so that whole questions may be typed. */
            processTerm: (term) => {
              const word = term.toLowerCase()
              return /^(a|an|and|are|do|does|for|from|how|i|in|is|it|its|of|on|or|the|to|what|when|which|why|with)$/.test(
                word,
              )
                ? null
                : word
            },
          },
          searchOptions: {
            prefix: true,
            fuzzy: 0.15,
            boost: { title: 4, titles: 2, text: 1 },
            /** Guides come before the API's reference of the same words. */
            boostDocument: (id) => (String(id).includes('/api/') ? 0.3 : 1),
          },
        },
      },
    },
    footer: { message: 'MIT licence' },
  },
})
