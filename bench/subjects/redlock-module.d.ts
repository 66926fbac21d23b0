// The package has types, but its "exports" do not include them.
declare module 'redlock' {
  import type { Redis } from 'ioredis'

  export default class Redlock {
    constructor(clients: readonly Redis[])
    acquire(resources: string[], duration: number): Promise<{ release(): Promise<unknown> }>
  }
}
