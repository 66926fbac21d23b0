import { setTimeout as sleep } from 'node:timers/promises'

/** Stands for the payment provider: a call over the network, which takes its time. */
export const bank = {
  async charge(_customer: string): Promise<void> {
    await sleep(2 + Math.random() * 4)
  },

  async payOut(_orders: readonly { id: number }[]): Promise<void> {
    await sleep(20)
  },
}
