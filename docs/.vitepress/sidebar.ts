/*
 * The sidebar: every page of docs/ once, and the API's pages as typedoc has written them.
 */
import { existsSync, readdirSync } from 'node:fs'
import path from 'node:path'
import type { DefaultTheme } from 'vitepress'

const docs = path.join(import.meta.dirname, '..')

const groups: Readonly<Record<string, readonly (readonly [text: string, page: string])[]>> = {
  Guide: [
    ['Getting started', 'getting-started'],
    ['Which call do I want?', 'calls'],
    ['The decorator', 'decorator'],
    ['Transactions', 'transactions'],
    ['Other transaction libraries', 'transactions-with-other-libraries'],
    ['N at a time: permits', 'permits'],
    ['Readers and writers', 'readers-writers'],
    ['Leader election', 'leader'],
    ['Once only', 'once'],
    ['NestJS', 'nestjs'],
    ['Testing', 'testing'],
    ['Recipes', 'recipes'],
  ],
  Production: [
    ['Safety', 'safety'],
    ['Operations', 'operations'],
    ['Observability', 'observability'],
    ['Command line', 'cli'],
    ['Troubleshooting', 'troubleshooting'],
  ],
  Reference: [
    ['Options', 'options'],
    ['Errors', 'errors'],
    ['PostgreSQL', 'postgresql'],
    ['Compatibility', 'compatibility'],
  ],
  Background: [
    ['Performance', 'performance'],
    ['Comparison', 'comparison'],
    ['Migrating', 'migration-from'],
    ['Design', 'design'],
    ['Contributing', 'project/contributing'],
    ['Changelog', 'project/changelog'],
  ],
}

export function sidebar(): DefaultTheme.SidebarItem[] {
  return Object.entries(groups).map(([text, pages]) => ({
    text,
    items: [
      ...pages.map(([title, page]) => ({ text: title, link: `/${page}` })),
      ...(text === 'Reference' ? [api()] : []),
    ],
  }))
}

/** An entry point, below it its classes, functions and types. */
function api(): DefaultTheme.SidebarItem {
  const folder = path.join(docs, 'api')
  const modules = existsSync(folder) ? readdirSync(folder).filter((name) => !name.endsWith('.md')) : []
  return {
    text: 'API',
    link: '/api/',
    collapsed: true,
    items: modules.map((module) => ({
      text: module === 'index' ? 'typeorm-named-lock' : `…/${module}`,
      link: `/api/${module}/`,
      collapsed: true,
      items: readdirSync(path.join(folder, module), { recursive: true, encoding: 'utf8' })
        .filter((file) => file.includes(path.sep))
        .sort()
        .map((file) => file.replace(/\.md$/, '').replaceAll(path.sep, '/'))
        .map((page) => ({ text: page.replace(/.*\//, ''), link: `/api/${module}/${page}` })),
    })),
  }
}
