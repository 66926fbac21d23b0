import { existsSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import path from 'node:path'

export interface DynamicLoader {
  readonly loader: string
  readonly libraries: readonly string[]
}

/** The packages bring their own C library, which may be newer than the machine's; only its own loader can start it. */
export async function dynamicLoader(tree: string): Promise<DynamicLoader> {
  const libraries: string[] = []
  let loader: string | undefined
  for (const lib of ['usr/lib', 'lib']) {
    const parent = path.join(tree, lib)
    const triplets = existsSync(parent) ? (await readdir(parent)).filter((name) => name.includes('-linux-gnu')) : []
    for (const folder of triplets.map((name) => path.join(parent, name))) {
      libraries.push(folder)
      const name = (await readdir(folder)).find((file) => /^ld-linux.*\.so\.\d+$/.test(file))
      if (name !== undefined) loader ??= path.join(folder, name)
    }
  }
  if (loader === undefined) throw new Error(`no dynamic loader in ${tree}`)
  return { loader, libraries }
}
