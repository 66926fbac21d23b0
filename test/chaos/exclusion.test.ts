import { expect } from 'chai'
import { forEachOwnServer } from '../support/conformance.js'
import { serverKinds } from '../support/servers.js'
import { ExclusionRun, print } from './exclusion-run.js'

/** NAMED_LOCK_CHAOS=full: a minute for each server, and the summary is printed. */
const isFull = process.env.NAMED_LOCK_CHAOS === 'full'
const seconds = isFull ? 60 : 8

describe('four processes under one fault after the other', () => {
  forEachOwnServer(
    (ctx) => {
      it('exclude each other, and lose no write that is made in transaction()', async function () {
        this.timeout((seconds + 180) * 1_000)
        const summary = await new ExclusionRun(ctx).run(seconds)
        const text = print(ctx.kind, seconds, summary)
        if (isFull || summary.overlaps.length > 0) console.log(text)
        expect(summary.visits, text).to.be.greaterThan(seconds * 10)
        for (const kind of ['permits', 'reads', 'writes'] as const)
          expect(summary[kind], `${kind}: ${text}`).to.be.greaterThan(seconds / 4)
        for (const { isServersDoing } of summary.overlaps) expect(isServersDoing, text).to.equal(true)
        // On a quiet machine it is a few milliseconds; on a busy one no process can hear of a loss while it does not run.
        const lengths = summary.overlaps
          .map(({ milliseconds, stalled }) => milliseconds - stalled)
          .sort((a, b) => a - b)
        expect(lengths.at(-1) ?? 0, text).to.be.lessThan(1_000)
        expect(lengths[lengths.length >> 1] ?? 0, text).to.be.at.most(50)
        expect(summary.acknowledged, text).to.be.greaterThan(seconds)
        expect(summary.lostWrites, text).to.equal(0)
      })
    },
    () => [],
    serverKinds,
  )
})
