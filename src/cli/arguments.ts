import type { Command } from 'commander'

/**
 * Inserts a missing `--` before the command of `run` or `hold`: everything from the command's first word on belongs to the
 * command, as with flock(1), nice(1) and sudo(8). Otherwise `run job psql -d app` would parse `-d` as its own option.
 */
export function argumentsOf(program: Command, words: readonly string[]): string[] {
  const run = program.commands.find((one) => one.name() === words[0])
  if (!run?.registeredArguments.some(({ variadic }) => variadic)) return [...words]
  let operands = 0
  for (let at = 1; at < words.length; at++) {
    const word = words[at] as string
    if (word === '--') return withoutSecondMark(words, at, operands)
    const option = run.options.find(({ short, long }) => short === word || long === word)
    if (option) at += option.required ? 1 : 0
    else if (!word.startsWith('-') || /^-\d*$/.test(word)) {
      // An advisory lock's number may be negative.
      if (++operands === 2) return [...words.slice(0, at), '--', ...words.slice(at)]
    }
  }
  return [...words]
}

/** `run -- -name -- command` */
function withoutSecondMark(words: readonly string[], at: number, operands: number): string[] {
  const isSecond = operands === 0 && words[at + 2] === '--'
  return isSecond ? [...words.slice(0, at + 2), ...words.slice(at + 3)] : [...words]
}
