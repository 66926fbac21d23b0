import { expect } from 'chai'
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { completionScript, SHELLS } from '../../src/cli/completion.js'
import { createProgram } from '../../src/cli/program.js'
import { until } from '../support/until.js'

describe('the completion of named-lock', function () {
  this.timeout(60_000)
  const scripts = Object.fromEntries(SHELLS.map((shell) => [shell, completionScript(createProgram(), shell)]))

  let folder: string

  before(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'named-lock-completion-'))
  })
  after(() => rmSync(folder, { recursive: true }))

  /** Calls the function that bash calls for the last word, for each line. */
  function inBash(...lines: string[]): string[] {
    const call = `
      compopt() { :; }
      for line in "$@"; do
        read -ra COMP_WORDS <<< "$line"
        [[ "$line" == *' ' ]] && COMP_WORDS+=('')
        COMP_CWORD=$((\${#COMP_WORDS[@]} - 1))
        _named_lock
        echo "\${COMPREPLY[@]}"
      done`
    const options = { cwd: __dirname, encoding: 'utf8' } as const
    const args = ['--norc', '-c', `${scripts.bash as string}${call}`, 'bash', ...lines]
    return execFileSync('bash', args, options).trimEnd().split('\n')
  }

  it('has every command and every option that the help has', () => {
    for (const command of createProgram().commands) {
      const options = command.createHelp().visibleOptions(command)
      const words = options.flatMap(({ short, long }) => [short, long].filter((word) => word !== undefined))
      expect(words).to.include('--help')
      const [commands, listed] = inBash('named-lock ', `named-lock ${command.name()} -`)
      expect(commands?.split(' ')).to.include(command.name())
      expect(listed?.split(' ')).to.have.members(words)
      for (const word of words) {
        expect(scripts.zsh, word).to.include(`'${word}[`)
        expect(scripts.fish, word).to.match(
          new RegExp(`from ${command.name()}'.* -(s|l) ${word.replace(/^-+/, '')}( |$)`, 'm'),
        )
      }
    }
  })

  it('completes words, values, files and the command of run', () => {
    const expected = {
      'named-lock re': 'release',
      'named-lock run --on-busy ': 'fail skip',
      'named-lock hold job --mode w': 'write',
      'named-lock completion ': 'bash zsh fish',
      'named-lock list -d completion.t': 'completion.test.ts',
      'named-lock run job --time': '--timeout',
      'named-lock run --timeout 5s --once job mkfi': 'mkfifo',
      'named-lock run job -- mkfi': 'mkfifo',
      // These belong to the command.
      'named-lock run job psql --time': '',
      'named-lock who ': '',
      'named-lock who job --time': '',
    }
    const lines = Object.keys(expected)
    // A program may be in several folders of the path.
    const found = inBash(...lines).map((line) => [...new Set(line.split(' '))].join(' '))
    expect(lines.map((line, at) => [line, found[at] ?? ''])).to.deep.equal(Object.entries(expected))
  })

  it('works in an interactive bash', async () => {
    const shell = spawn('script', ['-qec', 'bash --norc --noprofile -i', '/dev/null'], { cwd: __dirname })
    let printed = ''
    shell.stdout.setEncoding('utf8').on('data', (text: string) => (printed += text))
    try {
      shell.stdin.write(`named-lock() { echo "ran: $*"; }\n${scripts.bash as string}echo rea''dy\n`)
      await until('bash', () => /ready/.test(printed))
      shell.stdin.write('named-lock ru\t job --on-b\tsk\t -d completion.te\t\n')
      await until('the line', () => /ran: run job --on-busy skip -d completion\.test\.ts\b/.test(printed))
    } catch (error) {
      throw new Error(`bash printed: ${printed}`, { cause: error })
    } finally {
      shell.kill('SIGKILL')
    }
  })

  for (const [shell, ...check] of [
    ['bash', '-n'],
    ['zsh', '-n'],
    ['fish', '--no-execute'],
  ] as const) {
    it(`is a script that ${shell} can read`, function () {
      if (!isInstalled(shell)) this.skip()
      const file = path.join(folder, shell)
      writeFileSync(file, scripts[shell] as string)
      execFileSync(shell, [...check, file])
    })
  }

  it('works in fish', function () {
    if (!isInstalled('fish')) this.skip()
    const inFish = (line: string): string[] => {
      const call = `source ${path.join(folder, 'fish')}; complete -C ${JSON.stringify(line)}`
      const words = execFileSync('fish', ['--no-config', '-c', call], { cwd: __dirname, encoding: 'utf8' })
      return words
        .split('\n')
        .map((word) => word.replace(/\t.*/, ''))
        .filter(Boolean)
    }
    expect(inFish('named-lock re')).to.deep.equal(['release'])
    expect(inFish('named-lock run --on-busy ')).to.deep.equal(['fail', 'skip'])
    expect(inFish('named-lock list --pre')).to.deep.equal(['--prefix'])
    expect(inFish('named-lock who --tim')).to.deep.equal([])
    expect(inFish('named-lock completion ba')).to.deep.equal(['bash'])
    expect(inFish('named-lock run job mkfi')).to.include('mkfifo')
  })
})

function isInstalled(shell: string): boolean {
  return spawnSync(shell, ['-c', 'true']).status === 0
}
