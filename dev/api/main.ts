import { mkdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { CompilerState, Extractor, ExtractorConfig, ExtractorLogLevel, type ExtractorMessage } from '@microsoft/api-extractor'

/**
 * Writes the public API of every entry point to api/, so that a review shows each change of it. `--check` writes
 * nothing and fails if the files are not up to date. It reads the declarations of the last build.
 */
const root = path.join(__dirname, '../..')
const isCheck = process.argv.includes('--check')

interface Manifest {
  readonly exports: Readonly<Record<string, string | { readonly types: string }>>
}

function entryPoints(): readonly (readonly [name: string, types: string])[] {
  const { exports } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as Manifest
  return Object.entries(exports).flatMap(([subpath, target]) =>
    typeof target === 'string' ? [] : [[subpath === '.' ? 'index' : subpath.slice(2), target.types] as const],
  )
}

function configOf(name: string, types: string): ExtractorConfig {
  return ExtractorConfig.prepare({
    configObjectFullPath: path.join(root, 'api-extractor.json'),
    packageJsonFullPath: path.join(root, 'package.json'),
    configObject: {
      projectFolder: root,
      mainEntryPointFilePath: path.join(root, types),
      newlineKind: 'lf',
      compiler: { tsconfigFilePath: path.join(root, 'tsconfig.build.json') },
      apiReport: {
        enabled: true,
        reportFileName: `${name}.api.md`,
        reportFolder: path.join(root, 'api'),
        reportTempFolder: path.join(root, '.cache/api'),
      },
      docModel: { enabled: false },
      dtsRollup: { enabled: false },
      messages: { extractorMessageReporting: { default: { logLevel: ExtractorLogLevel.None } } },
    },
  })
}

/** Prints errors only: the other messages repeat the report. */
function quiet(message: ExtractorMessage): void {
  const isWorse = message.logLevel === ExtractorLogLevel.Error || message.logLevel === ExtractorLogLevel.Warning
  if (!isWorse || message.messageId.startsWith('console-')) message.handled = true
}

mkdirSync(path.join(root, 'api'), { recursive: true })
const configs = entryPoints().map(([name, types]) => configOf(name, types))
const additionalEntryPoints = configs.map((config) => config.mainEntryPointFilePath)
const compilerState = CompilerState.create(configs[0]!, { additionalEntryPoints })
for (const config of configs) {
  const { succeeded } = Extractor.invoke(config, { compilerState, localBuild: !isCheck, messageCallback: quiet })
  if (succeeded) continue
  const file = path.relative(root, config.reportFilePath)
  console.error(`${file} is out of date: run \`npm run build && npm run api\`, check the difference, commit it.`)
  process.exitCode = 1
}
