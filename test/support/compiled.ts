import path from 'node:path'

type Command = readonly [node: string, ...options: string[]]

/** Node.js for a process that runs TypeScript of this project: compiled.cjs says how, and why not tsx. */
export const nodeCompiled: Command = [process.execPath, '--require', path.join(__dirname, 'compiled.cjs')]

/** Node.js as a user starts a TypeScript program. */
export const nodeTsx: Command = [process.execPath, '--import', 'tsx']
