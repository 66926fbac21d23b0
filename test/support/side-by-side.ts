/** Runs cases that mostly wait, all at once; a failure names its case. */
export async function sideBySide(cases: Readonly<Record<string, () => Promise<void>>>): Promise<void> {
  const failures: string[] = []
  await Promise.all(
    Object.entries(cases).map(async ([name, run]) => {
      await run().catch((error: Error) => failures.push(`${name}: ${error.stack ?? error.message}`))
    }),
  )
  if (failures.length > 0) throw new Error(failures.join('\n'))
}
