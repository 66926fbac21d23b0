import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { expect } from 'chai'
import ts from 'typescript'

/*
 * The rule of rooms: a folder of src/ imports only from folders below it, types included, and no files import each other in a
 * circle. Rooms on one line stand side by side: none imports another.
 */
const ROOMS: readonly (readonly string[])[] = [
  ['index.ts'],
  ['decorator', 'nestjs', 'opentelemetry', 'cli', 'testing'],
  ['service'],
  ['once'],
  ['lead'],
  ['transaction'],
  ['acquire'],
  ['observe', 'inspect', 'work'],
  ['queue'],
  ['session'],
  ['dialect'],
  ['names'],
  ['scope', 'typeorm'],
  ['contract'],
  ['util'],
]

/** What else holds: `session` must not import `queue` and `queue` not `dialect`. The first follows from the order. */
const FORBIDDEN: readonly (readonly [from: string, to: string, why: string])[] = [
  ['queue', 'dialect', 'queue/ decides the order of callers and knows no server'],
]

interface Import {
  readonly from: string
  readonly to: string
}

const project = path.join(__dirname, '../..')

describe('the rooms of src/', () => {
  const { files, imports } = read('src')

  it('hold every file, and only index.ts lies outside of them', () => {
    expect(files.filter((file) => floorOf(file) < 0)).to.deep.equal([])
  })

  it('import only from rooms below', () => {
    expect(imports.map(violation).filter((one) => one !== undefined)).to.deep.equal([])
  })

  it('have no circle of files', () => {
    expect(circles(files, imports)).to.deep.equal([])
  })
})

describe('the files outside of src/', () => {
  for (const folder of ['bench', 'dev', 'sample-app']) {
    it(`have no circle: ${folder}/`, () => {
      const { files, imports } = read(folder)
      expect(files).to.not.deep.equal([])
      expect(circles(files, imports)).to.deep.equal([])
    })
  }
})

function read(folder: string): { files: string[]; imports: Import[] } {
  const root = path.join(project, folder)
  const files = readdirSync(root, { recursive: true, encoding: 'utf8' })
    .map((file) => file.split(path.sep).join('/'))
    .filter((file) => /\.[cm]?[tj]s$/.test(file) && !file.includes('node_modules/'))
  return { files, imports: files.flatMap((file) => importsOf(root, file)) }
}

function importsOf(root: string, from: string): Import[] {
  const source = ts.createSourceFile(from, readFileSync(path.join(root, from), 'utf8'), ts.ScriptTarget.Latest, true)
  const found: string[] = []
  const visit = (node: ts.Node): void => {
    if ((ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) && node.moduleSpecifier)
      add(node.moduleSpecifier)
    else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) add(node.argument.literal)
    else if (ts.isCallExpression(node) && node.arguments[0]) {
      const isLoading = node.expression.kind === ts.SyntaxKind.ImportKeyword || node.expression.getText() === 'require'
      if (isLoading) add(node.arguments[0])
    }
    ts.forEachChild(node, visit)
  }
  const add = (specifier: ts.Node): void => {
    if (ts.isStringLiteral(specifier) && specifier.text.startsWith('.')) found.push(specifier.text)
  }
  visit(source)
  return found.map((specifier) => ({
    from,
    to: path.posix.join(path.posix.dirname(from), specifier).replace(/\.js$/, '.ts'),
  }))
}

function roomOf(file: string): string {
  return file.split('/')[0] as string
}

/** The floor of a file, from the top; -1 for a file in no room. */
function floorOf(file: string): number {
  return ROOMS.findIndex((rooms) => rooms.includes(roomOf(file)))
}

function violation({ from, to }: Import): string | undefined {
  const rooms = [roomOf(from), roomOf(to)] as const
  if (rooms[0] === rooms[1]) return undefined
  const forbidden = FORBIDDEN.find(([a, b]) => a === rooms[0] && b === rooms[1])
  if (forbidden) return `${from} imports ${to}: ${forbidden[2]}`
  if (floorOf(from) < floorOf(to)) return undefined
  return `${from} imports ${to}: ${rooms[0]}/ is not above ${rooms[1]}/`
}

/** The groups of files that can reach each other (Tarjan's strongly connected components). */
function circles(files: readonly string[], imports: readonly Import[]): string[][] {
  const next = new Map<string, string[]>(files.map((file) => [file, []]))
  for (const { from, to } of imports) next.get(from)?.push(to)
  const index = new Map<string, number>()
  const low = new Map<string, number>()
  const stack: string[] = []
  const found: string[][] = []
  const visit = (file: string): void => {
    index.set(file, index.size)
    low.set(file, index.get(file) as number)
    stack.push(file)
    for (const to of next.get(file) ?? []) {
      if (!index.has(to)) {
        visit(to)
        low.set(file, Math.min(low.get(file) as number, low.get(to) as number))
      } else if (stack.includes(to)) low.set(file, Math.min(low.get(file) as number, index.get(to) as number))
    }
    if (low.get(file) !== index.get(file)) return
    const group = stack.splice(stack.indexOf(file))
    if (group.length > 1) found.push(group.sort())
  }
  for (const file of files) if (!index.has(file)) visit(file)
  return found
}
