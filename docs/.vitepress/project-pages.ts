/*
 * Files outside docs/ that are pages of the site.
 */
export const projectPages = [
  { file: 'CONTRIBUTING.md', page: 'contributing' },
  { file: 'CHANGELOG.md', page: 'changelog' },
  { file: 'SECURITY.md', page: 'security' },
  { file: 'sample-app/README.md', page: 'sample' },
] as const
