import { expect } from 'chai'
import { Slices } from '../../src/queue/slices.js'
import { until } from '../support/until.js'

describe('the slices of a wait that the server limits', () => {
  const expectAbout = (slices: Slices, length: number) => {
    for (let i = 0; i < 50; i++) expect(slices.next).to.be.within(length * 0.75, length)
  }

  it('are short at first, and of different lengths', () => {
    const slices = new Slices()
    expectAbout(slices, 1)
    expect(new Set(Array.from({ length: 20 }, () => slices.next)).size).to.be.greaterThan(1)
  })

  it('double with every change of the holder that they miss, up to a limit', () => {
    const slices = new Slices()
    slices.missed('1')
    expectAbout(slices, 1)
    for (const length of [2, 4, 8, 16, 32, 32]) {
      slices.missed(`holder of ${length} ${Math.random()}`)
      expectAbout(slices, length)
    }
  })

  it('keep their length while the lock stays for a moment, and through a turn of their own', () => {
    const slices = new Slices()
    slices.missed('1')
    slices.missed('2')
    slices.missed('2')
    expectAbout(slices, 2)
    slices.won()
    expectAbout(slices, 2)
    // Whichever it was before: the lock has passed on from here.
    slices.missed('2')
    expectAbout(slices, 4)
  })

  it('are short again when the lock stays with one holder', async () => {
    const slices = new Slices()
    slices.missed('1')
    slices.missed('2')
    expectAbout(slices, 2)
    await until('the slices to be short', () => {
      slices.missed('2')
      return slices.next <= 1
    })
    slices.missed('3')
    expectAbout(slices, 2)
  })
})
