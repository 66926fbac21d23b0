import { dialectOfServer } from '../dialect/choose-dialect.js'
import type { Finding } from '../contract/lock-info.js'
import type { Sessions } from '../session/sessions.js'
import type { Settings } from '../contract/settings.js'

const ORDER: readonly Finding['severity'][] = ['error', 'warning', 'info']

/** The findings about the server, the DataSource's options and the pool, worst first. */
export async function check(sessions: Sessions, settings: Settings, poolSize: number): Promise<Finding[]> {
  const ofServer = await sessions.inspect(async (ask, connection) => {
    // No session may open on this server, and then it is this check that has to say why.
    const found = sessions.isDialectSure ? undefined : await dialectOfServer(ask)
    return (found ?? sessions.dialect).check(ask, settings.lease, connection)
  })
  return [...ofServer, ...sessions.checkPool(), ...checkPool(settings, poolSize)].sort(
    (a, b) => ORDER.indexOf(a.severity) - ORDER.indexOf(b.severity),
  )
}

export function checkPool({ connections, maxSessions }: Settings, poolSize: number): Finding[] {
  const most = Math.min(maxSessions, Math.floor(poolSize / 2))
  if (connections === 'own' || most >= maxSessions) return []
  return [
    {
      code: 'POOL_TOO_SMALL',
      severity: most < 2 ? 'warning' : 'info',
      message:
        `The DataSource's pool has ${poolSize} connections, of which locks may use ${most}` +
        (most < 2
          ? ': none of them can wait, so locks that other processes hold are polled for. transaction() and dedicated locks need one connection each beside them.'
          : ` (maxSessions is ${maxSessions}): few can wait at the same time, further waits are polled for.`),
      remedy: `Set poolSize to ${2 * maxSessions} or more, or use connections: 'own'.`,
    },
  ]
}
