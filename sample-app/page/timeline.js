// The timeline: it follows the clock until the user pauses it.

import { Lanes } from './lanes.js'
import { marks } from './marks.js'
import { drawAxis, drawLane, drawSample, laneHeight, Palette, prepare, rowAt, scaleOf } from './pen.js'

/** The view lags behind a little, because the latest events have not arrived yet. */
const lagMs = 350
const framesPerSecond = 30
const nearEnoughMs = 60
const hint = 'Hover a bar for details, or focus a lane and use the arrow keys.'

export class Timeline {
  #lanes = new Lanes()
  #list = document.querySelector('#lanes')
  #legend = document.querySelector('#legend')
  #axis = document.querySelector('#axis')
  #detail = document.querySelector('#detail')
  #pauseButton = document.querySelector('#pause')
  /** @type {Map<string, { item: HTMLElement, track: HTMLButtonElement, canvas: HTMLCanvasElement, now: HTMLElement }>} */
  #rows = new Map()
  #replicas = 0
  #palette = new Palette(0)
  /** How far the clock of the sample is ahead of this page's own, which no change of the system's time moves. */
  #ahead = 0
  /** All marks that were drawn since the page was opened. */
  #drawn = new Set()
  /** @type {number | undefined} The moment at which the view is paused; undefined while it follows the clock. */
  #pausedAt
  #selected
  #tick = 0
  #describedAt = 0

  constructor() {
    this.#pauseButton.addEventListener('click', () => (this.#pausedAt === undefined ? this.#pause() : this.#resume()))
    const isDark = matchMedia('(prefers-color-scheme: dark)')
    isDark.addEventListener('change', () => this.#setPalette())
    this.#list.addEventListener('keydown', (event) => this.#key(event))
    this.#detail.textContent = hint
    this.#layOut()
    const step = matchMedia('(prefers-reduced-motion: reduce)')
    let last = 0
    const frame = (time) => {
      requestAnimationFrame(frame)
      if (time - last < (step.matches ? 1000 : 1000 / framesPerSecond) - 2) return
      last = time
      this.#draw()
    }
    requestAnimationFrame(frame)
  }

  /** Called when the page connects or reconnects. */
  begin({ now, past }) {
    this.#lanes.clear()
    this.#selected = undefined
    this.#ahead = now - performance.now()
    this.#lanes.add(past)
  }

  add({ now, entries }) {
    // The quickest message is the best measure; a clock that runs a little too fast is corrected by and by.
    this.#ahead = Math.max(this.#ahead - 0.05, now - performance.now())
    this.#lanes.add(entries)
  }

  /** Now, by the clock of the sample. */
  get now() {
    return performance.now() + this.#ahead
  }

  setReplicas(count) {
    if (count === this.#replicas) return
    this.#replicas = count
    this.#setPalette()
  }

  #setPalette() {
    this.#palette = new Palette(this.#replicas)
    for (const canvas of this.#legend.querySelectorAll('canvas')) {
      drawSample(canvas, canvas.parentElement.dataset.mark, this.#palette)
    }
  }

  get #now() {
    return this.#pausedAt ?? this.#clock
  }

  get #clock() {
    return this.now - lagMs
  }

  #draw() {
    const width = this.#axis.clientWidth
    const to = this.#now
    const from = to - (width / scaleOf(width)) * 1000
    if (this.#tick++ % framesPerSecond === 0) this.#lanes.forget(this.#clock, [from, to])
    const view = {
      from,
      to,
      width,
      replicas: this.#replicas,
      palette: this.#palette,
      marks: this.#lanes.marks,
      selected: this.#selected,
      drawn: this.#drawn,
    }
    for (const lane of this.#lanes.all) {
      const { canvas } = this.#rows.get(lane.name)
      drawLane(prepare(canvas, laneHeight(lane.rows(this.#replicas))), lane, view)
    }
    drawAxis(prepare(this.#axis, 20), view)
    if (performance.now() - this.#describedAt > 180) this.#describe(to)
    const drawn = [...this.#drawn].join(' ')
    if (this.#legend.dataset.drawn !== drawn) this.#legend.dataset.drawn = drawn
  }

  /** Describes a lane in words and figures, for screen readers and for details. */
  #describe(at) {
    this.#describedAt = performance.now()
    for (const lane of this.#lanes.all) {
      const { track, now, item } = this.#rows.get(lane.name)
      const inside = lane.staysAt(at)
      const holders = [...new Set(inside.map(({ replica }) => replica))].sort((a, b) => a - b)
      const waiting = lane.waitersAt(at)
      const isBare = inside.some(({ guarded }) => !guarded)
      const key = `${holders.join()}/${waiting}/${isBare}`
      if (item.dataset.now === key) continue
      item.dataset.now = key
      item.dataset.holders = holders.join(' ')
      now.replaceChildren(...holders.map(badge), waiting > 0 ? ` ${waiting} waiting` : '')
      track.setAttribute('aria-label', spoken(lane.name, holders, isBare, waiting))
    }
  }

  /** Lays out the lanes, the list of their names for small screens, and the legend. */
  #layOut() {
    for (const lane of this.#lanes.all) {
      const row = this.#row(lane)
      this.#rows.set(lane.name, row)
      this.#list.append(row.item)
      document.querySelector('#names').append(element('dt', '', lane.name), element('dd', '', lane.purpose))
    }
    this.#legend.append(
      ...Object.entries(marks).map(([name, { label }]) => {
        const item = element('li')
        item.dataset.mark = name
        item.append(element('canvas'), label)
        return item
      }),
    )
    this.#chooseTabStop()
  }

  #row({ name, purpose }) {
    const item = element('li', 'lane')
    const label = element('div', 'label')
    const now = element('span', 'now')
    label.append(element('span', 'name', name), element('span', 'purpose', purpose), now)
    const track = element('button', 'track')
    track.type = 'button'
    track.tabIndex = -1
    const canvas = element('canvas')
    track.append(canvas)
    item.append(label, track)
    item.dataset.lock = name
    track.addEventListener('click', (event) => {
      this.#pause()
      // A click by keyboard has no position.
      this.#select(name, event.detail === 0 ? this.#lanes.lane(name).stays.at(-1) : this.#stayUnder(name, event))
    })
    track.addEventListener('pointermove', (event) => this.#tellOf(name, this.#stayUnder(name, event)))
    track.addEventListener('pointerleave', () => this.#tellOf(this.#selected?.lane, this.#selected))
    track.addEventListener('focus', () => this.#chooseTabStop(track))
    return { item, track, canvas, now }
  }

  /** All lanes are one stop for the tab key; the arrow keys move within it. */
  #chooseTabStop(chosen = document.activeElement) {
    const tracks = [...this.#rows.values()].map(({ track }) => track)
    const stop =
      tracks.find((track) => track === chosen) ??
      tracks.find((track) => track.tabIndex === 0) ??
      this.#list.querySelector('.track')
    for (const track of tracks) track.tabIndex = track === stop ? 0 : -1
  }

  #key(event) {
    const item = event.target.closest('.lane')
    if (!item || event.altKey || event.ctrlKey || event.metaKey) return
    const next = { ArrowUp: item.previousElementSibling, ArrowDown: item.nextElementSibling }
    if (event.key in next) next[event.key]?.querySelector('.track').focus()
    else if (event.key === 'ArrowLeft') this.#walk(item.dataset.lock, -1)
    else if (event.key === 'ArrowRight') this.#walk(item.dataset.lock, 1)
    else if (event.key === 'Escape') this.#resume()
    else return
    event.preventDefault()
  }

  #walk(name, step) {
    this.#pause()
    const width = this.#axis.clientWidth
    const from = this.#now - (width / scaleOf(width)) * 1000
    const stays = this.#lanes
      .lane(name)
      .stays.filter(({ start, end }) => start < this.#now && end > from)
      .sort((a, b) => a.start - b.start)
    const index = stays.indexOf(this.#selected)
    this.#select(name, stays[index === -1 ? stays.length - 1 : Math.min(Math.max(index + step, 0), stays.length - 1)])
  }

  #select(lane, stay) {
    this.#selected = stay && Object.assign(stay, { lane })
    this.#tellOf(lane, stay)
  }

  #stayUnder(name, { offsetX, offsetY }) {
    const width = this.#axis.clientWidth
    const at = this.#now - ((width - offsetX) / scaleOf(width)) * 1000
    const lane = this.#lanes.lane(name)
    const row = rowAt(offsetY, lane.rows(this.#replicas))
    const distance = ({ start, end }) => Math.max(start - at, at - end, 0)
    return lane.stays
      .filter((stay) => stay.row === row && distance(stay) < nearEnoughMs)
      .sort((a, b) => distance(a) - distance(b))[0]
  }

  #tellOf(name, stay) {
    const text = stay ? describe(name, stay) : hint
    if (this.#detail.textContent !== text) this.#detail.textContent = text
  }

  #pause() {
    if (this.#pausedAt !== undefined) return
    this.#pausedAt = this.#clock
    this.#pauseButton.textContent = 'Resume'
    this.#pauseButton.setAttribute('aria-pressed', 'true')
  }

  #resume() {
    this.#pausedAt = undefined
    this.#select(undefined, undefined)
    this.#pauseButton.textContent = 'Pause'
    this.#pauseButton.setAttribute('aria-pressed', 'false')
  }
}

function describe(lock, { replica, start, end, waited, guarded, lost }) {
  const time = new Date(start).toLocaleTimeString('en-GB') + '.' + String(Math.floor(start % 1000)).padStart(3, '0')
  const isOver = end !== Infinity
  const length = isOver ? ` for ${milliseconds(end - start)}` : ''
  if (!guarded)
    return `${time}  Replica ${replica} ${isOver ? 'was' : 'is'} where ${lock} belongs${length}, without the lock.`
  const wait = waited >= 1 ? `, after ${milliseconds(waited)} of waiting` : ', at once'
  return `${time}  Replica ${replica} ${isOver ? 'held' : 'holds'} ${lock}${length}${wait}${lost ? ', and lost it' : ''}.`
}

function milliseconds(ms) {
  return ms < 10 ? `${ms.toFixed(1)} ms` : `${Math.round(ms)} ms`
}

function spoken(name, holders, isBare, waiting) {
  const who =
    holders.length === 0
      ? 'free'
      : `replica ${holders.join(' and ')} ${isBare ? 'inside without the lock' : 'holds it'}`
  return `${name}: ${who}${waiting > 0 ? `, ${waiting} waiting` : ''}`
}

function badge(replica) {
  const badge = element('b', '', String(replica))
  badge.style.setProperty('--own', `var(--replica-${((replica - 1) % 8) + 1})`)
  return badge
}

function element(tag, className = '', text = '') {
  const element = document.createElement(tag)
  if (className) element.className = className
  if (text) element.textContent = text
  return element
}
