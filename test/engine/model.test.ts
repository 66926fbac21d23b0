import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises'
import { forEachDialect, type Conformance } from '../support/conformance.js'
import { expectNoUnhandledRejections } from '../support/leaks.js'
import { until } from '../support/until.js'
import { Look } from './model/look.js'
import { application, handles, make, releaseOne, strangerReleases, weights } from './model/moves.js'
import { Random } from './model/random.js'
import { World } from './model/world.js'

/** NAMED_LOCK_STEPS: how many moves for each server. NAMED_LOCK_SEED: repeats the moves of a run, though not their timing. */
const STEPS = Number(process.env.NAMED_LOCK_STEPS ?? 1_200)
const SEED = Number(process.env.NAMED_LOCK_SEED ?? Math.floor(Math.random() * 2 ** 31))
const STEPS_BETWEEN_RESTS = 150

/**
 * Random moves of services, strangers and killers against a model that knows which of them holds what.
 *
 * After every move: no two hold one name, callers of one slot are served in order, and none is late. Every few moves, on the server:
 * each call has the locks that it believes in, each lock has an owner, and no free lock has waiters. At every
 * rest: nothing is held, no promise is left, and every connection is one of a pool.
 */
describe('the engine against a model', () => {
  forEachDialect((ctx) => {
    it(`makes ${STEPS} moves, seed ${SEED}`, async function () {
      this.timeout(60_000 + STEPS * 60)
      const random = new Random(SEED)
      const world = await makeWorld(ctx)
      const look = new Look(world)
      try {
        for (let step = 1; step <= STEPS; step++) {
          make(random.weighted(weights), world, random)
          if (random.chance(0.4)) await look.once()
          await pause(random)
          failOnViolations(world)
          if (step % STEPS_BETWEEN_RESTS === 0) await rest(world, look)
        }
        await rest(world, look)
        for (const { locks } of world.sides) await locks.close()
        for (const side of world.sides) await Promise.all(Array.from({ length: 12 }, () => application(world, side)))
        failOnViolations(world)
      } catch (error) {
        console.log(`seed ${SEED}\n${world.history()}`)
        throw error
      }
      console.log(`        ${summary(world)}`)
    })
  })
})

async function makeWorld(ctx: Conformance): Promise<World> {
  const world = new World(ctx, await ctx.connectOutsider())
  const name = (i: number): string => (ctx.isPostgres ? ['one', 'other'] : [ctx.database, ctx.otherDatabase])[i]!
  const home = (i: number) => (ctx.isPostgres ? { extra: { application_name: name(i) } } : { database: name(i) })
  const one = await ctx.dataSource({ poolSize: 12, ...home(0) })
  const other = await ctx.dataSource({ poolSize: 6, ...home(1) })
  for (const dataSource of [one, other]) world.trace(dataSource)
  await world.addSide('waiting', {}, one, name(0))
  await world.addSide('impatient', { handOver: { times: 2, for: 20 }, lease: '3s' }, one, name(0))
  await world.addSide('polling', { maxSessions: 1, lease: '2s' }, other, name(1))
  for (let i = 0; i < 2; i++) await world.addStranger()
  return world
}

function pause(random: Random): Promise<unknown> {
  const kind = random.weighted({ none: 45, turn: 30, short: 20, long: 4, slice: 0.3 })
  if (kind === 'none') return Promise.resolve()
  if (kind === 'turn') return turn()
  return sleep({ short: random.int(1, 5), long: random.int(10, 60), slice: 1_200 }[kind])
}

/** Everything is given back as it comes, until nothing is left. */
async function rest(world: World, look: Look): Promise<void> {
  world.note('rest')
  const isQuiet = (): boolean => {
    failOnViolations(world)
    for (const call of world.held()) call.finish?.()
    for (const call of handles(world)) releaseOne(world, call)
    for (const stranger of world.strangers) if (!stranger.busy) strangerReleases(world, stranger)
    return world.calls.size === 0 && world.strangers.every((one) => !one.busy && !one.name)
  }
  const left = () =>
    [...world.calls].map((call) => `#${call.id} ${call.what} ${call.state} ${call.names.join()}`).join(', ')
  await until('all calls to be settled', isQuiet, { within: 8_000, every: 5 }).catch((error: Error) => {
    throw new Error(`${error.message}: ${left()}`, { cause: error })
  })
  await until('no service to be closing', () => !world.sides.some((side) => side.closing))
  let wrong: string | undefined
  await until('rest', async () => !(wrong = await look.atRest()), { within: 3_000, every: 20 }).catch(() => {
    throw new Error(`At rest: ${wrong}`)
  })
  await Promise.all(world.sides.flatMap((side) => [1, 2, 3].map(() => application(world, side))))
  failOnViolations(world)
  await expectNoUnhandledRejections()
}

function failOnViolations(world: World): void {
  if (world.violations.length > 0) throw new Error(`seed ${SEED}: ${world.violations.slice(0, 5).join('\n')}`)
}

function summary({ counts }: World): string {
  return [...counts].map(([what, count]) => `${what} ${count}`).join(', ')
}
