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

export const bank = {
  async charge(_customer: string, _amount: number): Promise<void> {
    await answerAfter(1, 3)
  },

  async payOut(_orders: readonly { id: number }[]): Promise<void> {
    await answerAfter(15, 25)
  },
}
