import type { Finding } from '../../contract/lock-info.js'
import { singleRow, singleValue, type Ask } from '../../typeorm/raw-connection.js'
import { unfit } from '../engines.js'
import { isOn, maybe, variable } from './server-variables.js'

/*
 * Clusters in which several servers are written to. Named locks live on one server of them, so the rule is: a server that refuses its lock
 * functions, and one of several primaries of a replication group, is refused when the first session opens. A node of a Galera cluster is
 * not: all locks may go to one node, and `check()` says so.
 */

const GALERA = 'GALERA_NODE'
const ONE_NODE =
  'Send the locks of all instances to one node: a DataSource for locks whose address is a single node, with failover but without load balancing.'

export async function checkGalera(ask: Ask): Promise<Finding | undefined> {
  if (!isOn(await variable(ask, '@@GLOBAL.wsrep_on'))) return undefined
  const [, size] = singleRow((await maybe(ask("SHOW GLOBAL STATUS LIKE 'wsrep_cluster_size'"))) ?? [])
  const isAlone = size === '1'
  return {
    code: GALERA,
    severity: isAlone ? 'warning' : 'error',
    message: `The server is a node of a Galera cluster${size === undefined ? '' : ` of ${size}`}. Named locks live on one node: instances that are connected to different nodes do not exclude each other${isAlone ? ' once there are more' : ''}.`,
    remedy: ONE_NODE,
  }
}

const ER_NOT_SUPPORTED_YET = 1235
const ER_UNKNOWN = 1105

/** MariaDB's refusal, in any language of its messages: "… 'GET_LOCK in cluster (WSREP_ON=ON)'". */
const MARIADB = /\bWSREP_ON\b/i
/** That of Percona XtraDB Cluster: "… prohibits use of GET_LOCK with pxc_strict_mode = ENFORCING". */
const PERCONA = /\bpxc_strict_mode\b/i

/** The finding about a node of a Galera cluster that answers with that error to GET_LOCK; undefined for all other errors. */
export function galeraRefusal(error: unknown): Finding | undefined {
  const { errno, message } = error as { errno?: unknown; message?: unknown }
  if (errno !== ER_NOT_SUPPORTED_YET && errno !== ER_UNKNOWN) return undefined
  const text = String(message)
  const isPercona = PERCONA.test(text)
  if (!isPercona && !MARIADB.test(text)) return undefined
  const release = isPercona
    ? 'Set pxc_strict_mode=PERMISSIVE on the node for locks'
    : 'Use another release of MariaDB (10.4.29, 10.5.20, 10.6.13 and 10.11.3 refuse it, later ones do not)'
  return {
    code: GALERA,
    severity: 'error',
    message: `The server is a node of a Galera cluster that refuses GET_LOCK: ${text}.`,
    remedy: `${release}. ${ONE_NODE} Or use a MySQL or MariaDB server outside of the cluster for locks.`,
  }
}

export async function checkGroupReplication(ask: Ask): Promise<Finding | undefined> {
  const single = await variable(ask, '@@GLOBAL.group_replication_single_primary_mode')
  if (single === undefined || isOn(single)) return undefined
  // An application's account may see the mode and the group's name, and not its members.
  const online = "SELECT COUNT(*) AS n FROM performance_schema.replication_group_members WHERE MEMBER_STATE='ONLINE'"
  const count = singleValue((await maybe(ask(online))) ?? [])
  if (count === '0') return undefined
  if (count === undefined && !(await variable(ask, '@@GLOBAL.group_replication_group_name'))) return undefined
  return {
    code: 'GROUP_REPLICATION_MULTI_PRIMARY',
    severity: 'error',
    message: `The server is one of ${count ?? 'several'} primaries of a replication group. Named locks live on one member: instances that are connected to different members do not exclude each other.`,
    remedy:
      'Use single-primary mode, or a MySQL server outside of the group for locks: a DataSource of its own is enough.',
  }
}

/** @throws NamedLockConfigurationError for one of several primaries of a replication group. */
export async function refuseMultiPrimary(ask: Ask): Promise<void> {
  const finding = await checkGroupReplication(ask)
  if (finding) throw unfit(finding)
}
