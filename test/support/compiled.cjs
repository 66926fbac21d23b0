'use strict'

// Loads the TypeScript of this project in the processes of the tests and in their child processes:
// `node --require test/support/compiled.cjs file.ts`. A process that starts with tsx spends most of its time on tsx itself: a
// loader thread, hooks, esbuild.
//
// There is no build that could be out of date: each file is read when it is loaded, and its compiled form is looked up by a hash of
// its text, of the compiler's options and of this file. Like the published build, the compiled form comes from TypeScript.
const { createHash } = require('node:crypto')
const { mkdirSync, readFileSync, renameSync, writeFileSync } = require('node:fs')
const Module = require('node:module')
const path = require('node:path')

const root = path.join(__dirname, '..', '..')
const read = (...names) => readFileSync(path.join(...names), 'utf8')
const cache = path.join(root, '.cache', 'compiled')
const version = read(root, 'node_modules', 'typescript', 'package.json')
const base = createHash('sha256').update(read(__filename)).update(read(root, 'tsconfig.json')).update(version)

// Node.js reads the map of each module, of node_modules too, when it loads it: a quarter of the time that a process needs to start. So
// the tests have stack traces with the lines of the sources; their child processes have them with NODE_OPTIONS=--enable-source-maps.
if (/\bmocha\b/.test(process.argv[1])) process.setSourceMapsEnabled(true)

Module._extensions['.ts'] = (module, file) => {
  const text = read(file)
  const compiled = path.join(cache, `${base.copy().update(file).update('\0').update(text).digest('hex')}.js`)
  module._compile(readIfThere(compiled) ?? compile(file, text, compiled), file)
}

// Imports name the compiled file: './x.js' is ./x.ts.
const { _resolveFilename: resolve } = Module
Module._resolveFilename = (request, parent, ...rest) => {
  if (/^\.\.?\/.*\.js$/.test(request) && parent?.filename?.endsWith('.ts')) {
    try {
      return resolve(request.replace(/js$/, 'ts'), parent, ...rest)
    } catch {
      // It may be JavaScript.
    }
  }
  return resolve(request, parent, ...rest)
}

function compile(file, text, compiled) {
  const ts = require('typescript')
  const { config } = ts.parseConfigFileTextToJson('tsconfig.json', read(root, 'tsconfig.json'))
  const { target, module, moduleResolution, experimentalDecorators, useDefineForClassFields, esModuleInterop } =
    config.compilerOptions
  const { outputText } = ts.transpileModule(text, {
    fileName: file,
    compilerOptions: {
      ...{ target, module, moduleResolution, experimentalDecorators, useDefineForClassFields, esModuleInterop },
      removeComments: true,
      inlineSourceMap: true,
    },
  })
  // Other processes may write the same file at the same time.
  const own = `${compiled}.${process.pid}`
  mkdirSync(cache, { recursive: true })
  writeFileSync(own, outputText)
  renameSync(own, compiled)
  return outputText
}

function readIfThere(file) {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
}
