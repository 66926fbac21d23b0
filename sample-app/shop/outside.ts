import { setTimeout as sleep } from 'node:timers/promises'
import { settings } from './settings.js'

/** Stands for calls over the network, which take some time. */
function answerAfter(from: number, to: number): Promise<void> {
  return sleep((from + Math.random() * (to - from)) * settings.slowness)
}

export const venue = {
  async confirm(_customer: string): Promise<void> {
    await answerAfter(2, 6)
  },
}

/**
 * A replica may be killed after the bank's answer and before its COMMIT, and then the same order comes again. So the
 * number of the order is the key of the request: a real bank charges it once, and pays it out once.
 */
export const bank = {
  async charge(_order: { id: number }, _amount: number): Promise<void> {
    await answerAfter(1, 3)
  },

  async payOut(_orders: readonly { id: number }[]): Promise<void> {
    await answerAfter(15, 25)
  },
}
