/*
 * A table scrolls inside a box of its own, which the keyboard reaches: a wide one must not widen the page on a phone.
 * The box is named after the heading above it.
 */
import type { MarkdownRenderer } from 'vitepress'

export function readableTables(md: MarkdownRenderer): void {
  md.core.ruler.push('readable-tables', (state) => {
    const names = new Set<string>()
    let heading = 'Page'
    state.tokens.forEach((token, i) => {
      if (token.type === 'heading_open') heading = (state.tokens[i + 1]?.content ?? '').replaceAll('`', '')
      if (token.type !== 'table_open') return
      let name = `Table: ${heading}`
      for (let n = 2; names.has(name); n++) name = `Table ${n}: ${heading}`
      names.add(name)
      token.meta = name
    })
  })
  md.renderer.rules.table_open = (tokens, i) =>
    `<div class="table" role="region" aria-label="${md.utils.escapeHtml(String(tokens[i]?.meta))}" tabindex="0"><table>\n`
  md.renderer.rules.table_close = () => '</table></div>\n'
}
