/*
 * The repository's address and the commit that the site is built from. A workflow of GitHub knows both; elsewhere the
 * site has no links to source files.
 */
const { GITHUB_SERVER_URL, GITHUB_REPOSITORY, GITHUB_SHA } = process.env

export const repository = GITHUB_REPOSITORY
  ? `${GITHUB_SERVER_URL ?? 'https://github.com'}/${GITHUB_REPOSITORY}`
  : undefined

/** The address of a file or folder of the project. */
export function sourceAddress(file: string): string | undefined {
  return repository && `${repository}/blob/${GITHUB_SHA ?? 'main'}/${file}`
}
