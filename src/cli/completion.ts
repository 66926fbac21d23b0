import type { Command, Option } from 'commander'

/*
 * The scripts that complete the command line in a shell. They are made from the same commands and options as the help, and contain
 * all words: completing a word starts no process and no connection.
 */

export const SHELLS = ['bash', 'zsh', 'fish'] as const
export type Shell = (typeof SHELLS)[number]

/** One command with what may follow it. */
interface Entry {
  readonly name: string
  readonly description: string
  readonly options: readonly Option[]
  /** The words that its argument may be, if they are known. */
  readonly choices: readonly string[]
  /** The position of the first word of a command of the user's own, as in `run <name> <command…>`. */
  readonly commandAt: number | undefined
}

export function completionScript(program: Command, shell: Shell): string {
  const entries = program.commands.map(entryOf)
  const scripts = { bash: bashScript, zsh: zshScript, fish: fishScript }
  return scripts[shell](entries)
}

function entryOf(command: Command): Entry {
  const { registeredArguments: given } = command
  const commandAt = given.findIndex(({ variadic }) => variadic)
  return {
    name: command.name(),
    description: command.description(),
    options: command.createHelp().visibleOptions(command),
    choices: given[0]?.argChoices ?? [],
    commandAt: commandAt < 0 ? undefined : commandAt,
  }
}

const takesValue = ({ required }: Option): boolean => required
const takesFile = ({ description }: Option): boolean => description.startsWith('a module')
const wordsOf = ({ short, long }: Option): string[] => [short, long].filter((word) => word !== undefined)

function bashScript(entries: readonly Entry[]): string {
  const valued = (entry: Entry): string[] => entry.options.filter(takesValue).flatMap(wordsOf)
  const values = (options: readonly Option[]): string =>
    options
      .filter(takesValue)
      .map((option) => {
        const words = option.argChoices
          ? `COMPREPLY=($(compgen -W '${option.argChoices.join(' ')}' -- "$cur"))`
          : takesFile(option)
            ? 'compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur"))'
            : 'COMPREPLY=()'
        return `        ${wordsOf(option).join('|')}) ${words}; return;;`
      })
      .join('\n')
  const one = (entry: Entry): string => `    ${entry.name})
      options='${entry.options.flatMap(wordsOf).join(' ')}'
      valued=' ${valued(entry).join(' ')} '
      operands='${entry.choices.join(' ')}'
      command_at=${entry.commandAt ?? ''}
      case "$prev" in
${values(entry.options)}
      esac;;`
  return `# bash completion for named-lock: eval "$(named-lock completion bash)"
_named_lock() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} options valued operands command_at i count=0
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W '${entries.map(({ name }) => name).join(' ')} help --help --version' -- "$cur"))
    return
  fi
  case "\${COMP_WORDS[1]}" in
${entries.map(one).join('\n')}
    help) COMPREPLY=($(compgen -W '${entries.map(({ name }) => name).join(' ')}' -- "$cur")); return;;
    *) return;;
  esac
  for ((i = 2; i < COMP_CWORD; i++)); do
    case "\${COMP_WORDS[i]}" in
      --) [ -n "$command_at" ] && [ "$count" -lt "$command_at" ] && count=$command_at;;
      -*) case "$valued" in *" \${COMP_WORDS[i]} "*) ((i++));; esac;;
      *) ((count++));;
    esac
    if [ -n "$command_at" ] && [ "$count" -gt "$command_at" ]; then
      compopt -o default
      return
    fi
  done
  if [ -n "$command_at" ] && [ "$count" -eq "$command_at" ] && [[ "$cur" != -* ]]; then
    COMPREPLY=($(compgen -c -- "$cur"))
  elif [[ "$cur" == -* ]]; then
    COMPREPLY=($(compgen -W "$options" -- "$cur"))
  elif [ "$count" -eq 0 ]; then
    COMPREPLY=($(compgen -W "$operands" -- "$cur"))
  fi
}
complete -F _named_lock named-lock
`
}

function zshScript(entries: readonly Entry[]): string {
  const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`
  const description = (text: string): string => text.replace(/[[\]:\\]/g, '\\$&')
  const value = (option: Option): string => {
    if (!takesValue(option)) return ''
    const action = option.argChoices ? `(${option.argChoices.join(' ')})` : takesFile(option) ? '_files' : ' '
    return `:${option.attributeName()}:${action}`
  }
  const spec = (option: Option): string[] =>
    wordsOf(option).map((word) => quoted(`${word}[${description(option.description)}]${value(option)}`))
  const one = (entry: Entry): string => {
    const first = entry.choices.length > 0 ? [quoted(`1:argument:(${entry.choices.join(' ')})`)] : []
    const command =
      entry.commandAt === undefined
        ? []
        : [quoted('1:name: '), quoted('2:command: _command_names -e'), quoted('*::arguments: _named_lock_command')]
    const specs = [...entry.options.flatMap(spec), ...first, ...command]
    return `    ${entry.name}) _arguments -S \\\n${specs.map((text) => `      ${text}`).join(' \\\n')};;`
  }
  const commands = entries.map((entry) => `    ${quoted(`${entry.name}:${entry.description.replaceAll(':', '\\:')}`)}`)
  return `#compdef named-lock
# zsh completion for named-lock: eval "$(named-lock completion zsh)" after compinit
_named_lock() {
  local -a commands
  commands=(
${commands.join('\n')}
  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  shift words
  (( CURRENT-- ))
  case "$words[1]" in
${entries.map(one).join('\n')}
  esac
}
# The words are the arguments: the lock's name, then the command.
_named_lock_command() {
  shift words
  (( CURRENT-- ))
  _normal
}
if [ "$funcstack[1]" = _named_lock ]; then _named_lock "$@"; else compdef _named_lock named-lock; fi
`
}

function fishScript(entries: readonly Entry[]): string {
  const quoted = (text: string): string => `'${text.replace(/[\\']/g, '\\$&')}'`
  const line = (...words: string[]): string => ['complete -c named-lock', ...words].join(' ')
  const one = (entry: Entry): string[] => {
    const condition = `-n '__fish_seen_subcommand_from ${entry.name}'`
    const options = entry.options.map((option) => {
      const flags = [
        ...(option.short ? [`-s ${option.short.slice(1)}`] : []),
        ...(option.long ? [`-l ${option.long.slice(2)}`] : []),
      ]
      const value = option.argChoices
        ? [`-x -a ${quoted(option.argChoices.join(' '))}`]
        : takesFile(option)
          ? ['-r -F']
          : takesValue(option)
            ? ['-x']
            : []
      return line(condition, ...flags, ...value, `-d ${quoted(option.description)}`)
    })
    const operands = entry.choices.length > 0 ? [line(condition, `-a ${quoted(entry.choices.join(' '))}`)] : []
    const command =
      entry.commandAt === undefined
        ? []
        : [
            line(
              `-n '__fish_seen_subcommand_from ${entry.name}; and test (count (commandline -opc)) -ge ${entry.commandAt + 2}'`,
              "-a '(__fish_complete_command)'",
            ),
          ]
    return [
      line("-n '__fish_use_subcommand'", `-a ${entry.name}`, `-d ${quoted(entry.description)}`),
      ...options,
      ...operands,
      ...command,
    ]
  }
  return `# fish completion for named-lock: named-lock completion fish | source
complete -c named-lock -f
${entries.flatMap(one).join('\n')}
`
}
