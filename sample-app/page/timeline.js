// The timeline: it follows the clock until the user pauses it.

import { Lanes } from './lanes.js'
import { drawAxis, drawLane, laneHeight, Palette, prepare, replicaAt } from './pen.js'

/** The view lags behind a little, because the latest events have not arrived yet. */
const lagMs = 350
const framesPerSecond = 30
const nearEnoughMs = 60
const hint = 'Hover a bar for details, or focus a lane and use the arrow keys.'

export class Timeline {
  #lanes = new Lanes()
  #list = document.querySelector('#lanes')
  #axis = document.querySelector('#axis')
  #detail = document.querySelector('#detail')
  #pauseButton = document.querySelector('#pause')
  /** @type {Map<string, { item: HTMLElement, track: HTMLButtonElement, canvas: HTMLCanvasElement, now: HTMLElement }>} */
  #rows = new Map()
  #replicas = 0
  #palette = new Palette(0)
  /** How far the clock of the sample is ahead of this one, in milliseconds. */
  #ahead = 0
  /** @type {number | undefined} The moment at which the view is paused; undefined while it follows the clock. */
  #pausedAt
  #selected
  #tick = 0

  constructor() {
    this.#pauseButton.addEventListener('click', () => (this.#pausedAt === undefined ? this.#pause() : this.#resume()))
    const isDark = matchMedia('(prefers-color-scheme: dark)')
    isDark.addEventListener('change', () => this.#setPalette())
    this.#list.addEventListener('keydown', (event) => this.#key(event))
    this.#detail.textContent = hint
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
    this.#ahead = now - Date.now()
    this.#lanes.add(past)
  }

  add({ now, entries }) {
    this.#ahead = Math.max(this.#ahead, now - Date.now())
    this.#lanes.add(entries)
  }

  setReplicas(count) {
    if (count === this.#replicas) return
    this.#replicas = count
    this.#setPalette()
  }

  #setPalette() {
    this.#palette = new Palette(this.#replicas)
  }

  get #now() {
    return this.#pausedAt ?? this.#clock
  }

  get #clock() {
    return Date.now() + this.#ahead - lagMs
  }

  #draw() {
    if (this.#lanes.count !== this.#rows.size) this.#layOut()
    const width = this.#axis.clientWidth
    const to = this.#now
    const from = to - (width / (width > 600 ? 95 : 60)) * 1000
    if (this.#tick++ % framesPerSecond === 0) this.#lanes.forget(this.#clock, [from, to])
    const view = {
      from,
      to,
      width,
      replicas: this.#replicas,
      palette: this.#palette,
      marks: this.#lanes.marks,
      selected: this.#selected,
    }
    for (const lane of this.#lanes.all) {
      const { canvas } = this.#rows.get(lane.name)
      drawLane(prepare(canvas, laneHeight(this.#replicas)), lane, view)
    }
    drawAxis(prepare(this.#axis, 20), view)
    if (this.#tick % 6 === 0) this.#tellNow(to)
  }

  /** Describes a lane in words and figures, for screen readers and for details. */
  #tellNow(at) {
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

  #layOut() {
    const names = this.#lanes.all.map(({ name }) => name)
    for (const [name, { item }] of this.#rows) {
      if (names.includes(name)) continue
      item.remove()
      this.#rows.delete(name)
    }
    for (const name of names) if (!this.#rows.has(name)) this.#rows.set(name, this.#row(name))
    const focused = document.activeElement
    this.#list.append(...names.map((name) => this.#rows.get(name).item))
    if (focused instanceof HTMLElement && this.#list.contains(focused)) focused.focus()
    this.#chooseTabStop()
  }

  #row(name) {
    const item = element('li', 'lane')
    const label = element('div', 'label')
    const title = element('span', 'name', name.replace(/^migrations:.*/, 'migrations'))
    title.title = name
    const now = element('span', 'now')
    label.append(title, now)
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
    const from = this.#now - (this.#axis.clientWidth / (this.#axis.clientWidth > 600 ? 95 : 60)) * 1000
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
    const at = this.#now - ((width - offsetX) / (width > 600 ? 95 : 60)) * 1000
    const replica = replicaAt(offsetY, this.#replicas)
    const distance = ({ start, end }) => Math.max(start - at, at - end, 0)
    return this.#lanes
      .lane(name)
      .stays.filter((stay) => stay.replica === replica && distance(stay) < nearEnoughMs)
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
