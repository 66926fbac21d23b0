import type { Attributes } from '@opentelemetry/api'

interface Options {
  readonly type?: string
  readonly database?: unknown
  readonly host?: string
  readonly port?: number
  readonly url?: string
}

/** The attributes of the semantic conventions for databases, as far as the DataSource's options contain them. */
export function attributesOf(dataSource: { options?: unknown }): Attributes {
  const { type, database, host, port, url } = (dataSource.options ?? {}) as Options
  const address = url !== undefined && URL.canParse(url) ? new URL(url) : undefined
  const namespace = typeof database === 'string' ? database : address?.pathname.slice(1)
  const server = host ?? address?.hostname
  const portNumber = port ?? (address?.port ? Number(address.port) : undefined)
  return {
    ...(type !== undefined && { 'db.system.name': type === 'postgres' ? 'postgresql' : type }),
    ...(namespace && { 'db.namespace': namespace }),
    ...(server && { 'server.address': server }),
    ...(portNumber !== undefined && { 'server.port': portNumber }),
  }
}
