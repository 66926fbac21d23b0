import { expect } from 'chai'
import fc from 'fast-check'
import { describe, it } from 'mocha'
import { milliseconds } from '../../src/contract/duration.js'
import { NamedLockConfigurationError, parseDuration } from '../../src/index.js'

describe('parseDuration', () => {
  const texts: readonly [text: string, ms: number][] = [
    ['500ms', 500],
    ['10s', 10_000],
    ['2m', 120_000],
    ['1h', 3_600_000],
    ['500', 500],
    ['0', 0],
    ['0s', 0],
    ['1.5h', 5_400_000],
    ['.5s', 500],
    ['0.25s', 250],
    ['007ms', 7],
    ['Infinity', Infinity],
    ['Infinityms', Infinity],
    [' 10s ', 10_000],
    ['10 s', 10_000],
    ['\t1m\n', 60_000],
  ]
  for (const [text, ms] of texts) {
    it(`reads ${JSON.stringify(text)} as ${ms} ms`, () => expect(parseDuration(text)).to.equal(ms))
  }

  it('refuses everything else, and shows it', () => {
    const wrong = [
      '',
      ' ',
      '-1',
      '-1s',
      '+1s',
      '1 s s',
      '10S',
      '10sec',
      '5 parsecs',
      's',
      '.',
      '1.',
      '1,5s',
      '1e3',
      '0x10',
      'NaN',
      '-Infinity',
      '1s2ms',
    ]
    for (const text of wrong) {
      expect(() => parseDuration(text), text).to.throw(NamedLockConfigurationError, `'${text}' is not a duration`)
    }
  })

  it('refuses values other than strings', () => {
    for (const value of [5, null, undefined, {}, [], Symbol('5s'), 5n, () => '5s']) {
      expect(() => parseDuration(value as string)).to.throw(NamedLockConfigurationError, 'is not a duration')
    }
  })

  it('reads every whole number with every unit', () => {
    const units = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 }
    fc.assert(
      fc.property(fc.nat(), fc.constantFrom(...(Object.keys(units) as (keyof typeof units)[])), (count, unit) => {
        expect(parseDuration(`${count}${unit}`)).to.equal(count * units[unit])
      }),
    )
  })
})

describe('a duration option', () => {
  it('is a number of milliseconds or a string', () => {
    expect([0, 0.5, 5_000, Infinity].map((value) => milliseconds(value, 'timeout'))).to.deep.equal([
      0,
      0.5,
      5_000,
      Infinity,
    ])
    expect(milliseconds('5s', 'timeout')).to.equal(5_000)
  })

  it('is refused by its name', () => {
    for (const value of [-1, NaN, -Infinity, null, undefined, true, {}, [], 5n, Symbol('5s'), '5 parsecs', '-1s']) {
      expect(() => milliseconds(value as number, 'holdAtLeast')).to.throw(NamedLockConfigurationError, /^holdAtLeast: /)
    }
  })
})
