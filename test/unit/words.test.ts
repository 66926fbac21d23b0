import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { expect } from 'chai'
import ts from 'typescript'

/*
 * The subject of a sentence is a word of the glossary (docs/design.md): caller, holder, waiter, process, session. Words that leave
 * open who or what is meant make a comment unreadable to everyone but its author, and this test finds them.
 */
const VAGUE =
  /\b(who|whom|whoever|somebody|someone|nobody|everybody|anybody|can not|for ever|is told|are told|be had)\b/gi

/** Names that happen to be such words: the command `named-lock who`. */
const NAMES = /`[^`]*`|(named-lock )?who (?=-- )|named-lock who/g

const project = path.join(__dirname, '../..')

function tracked(...patterns: string[]): string[] {
  return execFileSync('git', ['ls-files', '--', ...patterns], { cwd: project, encoding: 'utf8' })
    .split('\n')
    .filter(Boolean)
}

function vagueIn(text: string): string[] {
  return text.replace(NAMES, '').match(VAGUE) ?? []
}

/** The comments of a file, and its texts for people: literals with a space in them. */
function wordsOf(file: string): string[] {
  const text = readFileSync(path.join(project, file), 'utf8')
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true)
  const found: string[] = []
  const seen = new Set<number>()
  const visit = (node: ts.Node): void => {
    for (const range of [
      ...(ts.getLeadingCommentRanges(text, node.getFullStart()) ?? []),
      ...(ts.getTrailingCommentRanges(text, node.getEnd()) ?? []),
    ]) {
      if (!seen.has(range.pos)) found.push(text.slice(range.pos, range.end))
      seen.add(range.pos)
    }
    const isText = ts.isStringLiteral(node) || ts.isTemplateLiteralToken(node)
    if (isText && node.text.includes(' ')) found.push(node.text)
    node.forEachChild(visit)
  }
  visit(source)
  return found
}

describe('the words of the project', () => {
  for (const folder of ['src', 'bench', 'dev', 'sample-app', 'test']) {
    it(`name their subjects: comments and texts in ${folder}/`, () => {
      const files = tracked(`${folder}/**/*.ts`, `${folder}/*.ts`).filter((file) => file !== 'test/unit/words.test.ts')
      const found = files.flatMap((file) =>
        wordsOf(file).flatMap((words) =>
          vagueIn(words).map((word) => `${file}: "${word}" in ${words.replace(/\s+/g, ' ').slice(0, 160)}`),
        ),
      )
      if (found.length > 0) expect.fail(`${found.length} vague words:\n${found.join('\n')}`)
    })
  }

  it('name their subjects: the documentation', () => {
    const found = tracked('README.md', 'CONTRIBUTING.md', 'SECURITY.md', 'docs/*.md').flatMap((file) =>
      readFileSync(path.join(project, file), 'utf8')
        .split('\n')
        .flatMap((line, i) => vagueIn(line).map((word) => `${file}:${i + 1}: "${word}" in ${line.slice(0, 160)}`)),
    )
    if (found.length > 0) expect.fail(`${found.length} vague words:\n${found.join('\n')}`)
  })
})
