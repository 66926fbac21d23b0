/*
 * Code blocks that follow each other and have a title in brackets become tabs:
 *
 *     ```sh [npm]
 *     ```sh [pnpm]
 *
 * On the repository's own pages, which ignore the title, they are blocks one below the other.
 */
import type { MarkdownRenderer } from 'vitepress'

type Token = ReturnType<MarkdownRenderer['parse']>[number]

const title = (token: Token | undefined) => token?.type === 'fence' && / \[(.+)\]$/.exec(token.info)?.[1]

export function tabs(md: MarkdownRenderer): void {
  md.core.ruler.push('tabs', (state) => {
    const tokens: Token[] = []
    for (let i = 0; i < state.tokens.length;) {
      let end = i
      while (title(state.tokens[end])) end++
      const blocks = state.tokens.slice(i, Math.max(end, i + 1))
      tokens.push(...(blocks.length > 1 ? [container('open'), ...blocks, container('close')] : blocks))
      i += blocks.length
    }
    state.tokens = tokens

    /** The tokens of VitePress's own `::: code-group`. */
    function container(end: 'open' | 'close'): Token {
      const token = new state.Token(`container_code-group_${end}`, 'div', end === 'open' ? 1 : -1)
      return Object.assign(token, { block: true, info: ' code-group', markup: ':::' })
    }
  })
}
