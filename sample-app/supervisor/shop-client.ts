import { setMaxListeners } from 'node:events'
import type { Order } from '../shop/entities/order.js'
import type { SettlementRuns } from '../shop/settlement.service.js'

/** Calls the REST API of one replica, like its customers. */
export class ShopClient {
  readonly #address: string
  readonly #signal: AbortSignal | undefined

  /** @param signal Aborts pending calls. */
  constructor(port: number, signal?: AbortSignal) {
    this.#address = `http://127.0.0.1:${port}`
    this.#signal = signal
    // Each pending call adds a listener, and hundreds of calls are no leak.
    if (signal) setMaxListeners(0, signal)
  }

  /** Orders a ticket and pays for it; null if the event is sold out. */
  async buy(eventId: number, customer: string): Promise<Order | null> {
    const response = await this.#post('/orders', { eventId, customer })
    if (response.status === 409) return null
    const { id } = await read<Order>(response)
    return read<Order>(await this.#post(`/orders/${id}/payment`, {}))
  }

  async settlementRuns(): Promise<SettlementRuns> {
    return read(await fetch(`${this.#address}/settlement`, this.#options()))
  }

  #post(path: string, body: object): Promise<Response> {
    const headers = { 'content-type': 'application/json' }
    return fetch(this.#address + path, { ...this.#options(), method: 'POST', headers, body: JSON.stringify(body) })
  }

  #options(): { signal?: AbortSignal } {
    return this.#signal ? { signal: this.#signal } : {}
  }
}

async function read<T>(response: Response): Promise<T> {
  const body: unknown = await response.json()
  if (!response.ok) throw new Error((body as { message?: string }).message ?? `HTTP ${response.status}`)
  return body as T
}
