import { readFileSync } from 'node:fs'
import path from 'node:path'
import { projectPages } from '../.vitepress/project-pages.js'

const root = path.join(import.meta.dirname, '..', '..')

export default {
  watch: projectPages.map(({ file }) => path.join(root, file)),
  paths: () =>
    projectPages.map(({ file, page }) => ({
      params: { page },
      content: readFileSync(path.join(root, file), 'utf8'),
    })),
}
