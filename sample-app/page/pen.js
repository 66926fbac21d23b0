// Draws a lane: one row per replica (or per permit), so that exclusion is visible: never two bars at one moment.

import { overlaps } from './lanes.js'
import { marks } from './marks.js'

const row = { height: 8, gap: 2 }
const padding = 7
const shortestBar = 1.5
const shortestWait = 12

/** The colours of the page, which follow the user's colour scheme. */
export class Palette {
  constructor(replicas) {
    const style = getComputedStyle(document.documentElement)
    const read = (name) => style.getPropertyValue(name).trim()
    const names = ['line', 'muted', 'ink', 'bad', 'good', 'clash', 'pause', 'panel']
    this.common = Object.fromEntries(names.map((name) => [name, read(`--${name}`)]))
    this.owns = Array.from({ length: Math.max(1, replicas) }, (_, index) => read(`--replica-${(index % 8) + 1}`))
    this.hatches = this.owns.map(hatch)
  }

  /** The colours of a mark; 0 is no replica's. */
  of(replica) {
    return { ...this.common, own: this.owns[replica - 1], hatch: this.hatches[replica - 1] }
  }
}

export function laneHeight(rows) {
  return 2 * padding + rows * row.height + (rows - 1) * row.gap
}

/** How many pixels a second takes. */
export function scaleOf(width) {
  return width > 600 ? 95 : 60
}

/** Clears a canvas and sets its unit to the CSS pixel. */
export function prepare(canvas, height) {
  const scale = window.devicePixelRatio || 1
  const width = canvas.clientWidth
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
    canvas.width = Math.round(width * scale)
    canvas.height = Math.round(height * scale)
    canvas.style.height = `${height}px`
  }
  const context = canvas.getContext('2d')
  context.setTransform(scale, 0, 0, scale, 0, 0)
  context.clearRect(0, 0, width, height)
  return context
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {import('./lanes.js').Lane} lane
 * @param {{
 *   from: number
 *   to: number
 *   width: number
 *   replicas: number
 *   palette: Palette
 *   marks: import('./lanes.js').Mark[]
 *   selected: unknown
 *   drawn: Set<string>
 * }} view
 *   `drawn` gets the names of all marks that are drawn.
 */
export function drawLane(context, lane, view) {
  const { from, to, width, replicas, palette, selected, drawn } = view
  const height = laneHeight(lane.rows(replicas))
  const x = (at) => ((Math.min(Math.max(at, from - 1000), to) - from) / (to - from)) * width
  const isSeen = ({ start, end }) => start < to && end > from
  const stays = lane.stays.filter(isSeen)
  const draw = (name, box, replica = 0) => {
    drawn.add(name)
    marks[name].draw(context, box, palette.of(replica))
  }
  const whole = (start, end) => ({ x: x(start), y: 0, width: Math.max(1, x(end) - x(start)), height })
  const atRow = (number, start, end, shortest = 0) => ({
    ...{ x: x(start), y: top(number), width: Math.max(shortest, x(end) - x(start)), height: row.height },
    ...{ top: 0, bottom: height },
  })

  for (const [start, end] of pauses(view.marks).filter(([start, end]) => isSeen({ start, end }))) {
    draw('pause', whole(start, end))
  }
  drawSeconds(context, from, to, x, height, palette)
  for (const [start, end] of overlaps(
    stays.filter(({ guarded }) => !guarded),
    lane.limit,
  )) {
    draw('clash', whole(start, end))
  }
  for (const wait of [...lane.waits, ...lane.queue].filter(isSeen)) {
    if (Math.min(wait.end, to) - wait.start < shortestWait) continue
    draw('waiting', atRow(wait.row, wait.start, wait.end), wait.replica)
  }
  for (const stay of stays) {
    const bar = atRow(stay.row, stay.start, stay.end, shortestBar)
    draw(stay.guarded ? 'holding' : 'bare', bar, stay.replica)
    if (stay.lost) draw('lost', atRow(stay.row, stay.end, stay.end), stay.replica)
    if (stay.cut && stay.end <= to) draw('stopped', atRow(stay.row, stay.end, stay.end), stay.replica)
    if (stay === selected) drawRing(context, bar, palette.common.ink)
  }
  for (const { kind, replica, at } of view.marks) {
    const name = names[kind]
    if (!name || at < from || at > to) continue
    const isRow = replica > 0 && lane.limit === 1
    draw(name, isRow ? atRow(replica, at, at) : whole(at, at), replica)
  }
}

/** The marks of the timeline by the kind of their entry. */
const names = { killed: 'stopped', ended: 'stopped', opened: 'started', locksOn: 'locksOn', locksOff: 'locksOff' }

/** The time between two sales. */
function pauses(marks) {
  const found = []
  for (const { kind, at } of marks) {
    if (kind === 'saleEnds') found.push([at, Infinity])
    else if (kind === 'saleBegins' && found.at(-1)?.[1] === Infinity) found.at(-1)[1] = at
  }
  return found
}

/** The row at a height of the lane, for hit tests. */
export function rowAt(y, rows) {
  return Math.min(rows, Math.max(1, 1 + Math.floor((y - padding + row.gap / 2) / (row.height + row.gap))))
}

export function drawAxis(context, view) {
  const { from, to, width, palette } = view
  const x = (at) => ((at - from) / (to - from)) * width
  context.fillStyle = palette.common.muted
  context.font = `11px ${getComputedStyle(document.documentElement).fontFamily}`
  const step = (to - from) / width > 12 ? 2000 : 1000
  for (let at = Math.ceil(from / step) * step; at <= to; at += step) {
    const text = new Date(at).toLocaleTimeString('en-GB')
    const half = context.measureText(text).width / 2
    if (x(at) - half >= 0 && x(at) + half <= width) context.fillText(text, x(at) - half, 13)
  }
}

/** Draws a mark of the legend, with the colours of replica 1. */
export function drawSample(canvas, name, palette) {
  const context = prepare(canvas, 14)
  const isArea = name === 'clash' || name === 'pause'
  const box = isArea ? { x: 0, y: 0, width: 22, height: 14 } : { x: 0, y: 3, width: 22, height: 8, top: 0, bottom: 14 }
  marks[name].draw(context, box, palette.of(1))
}

function top(number) {
  return padding + (number - 1) * (row.height + row.gap)
}

function drawSeconds(context, from, to, x, height, palette) {
  context.fillStyle = palette.common.line
  for (let at = Math.ceil(from / 1000) * 1000; at < to; at += 1000) context.fillRect(Math.round(x(at)), 0, 1, height)
}

function drawRing(context, { x, y, width, height }, colour) {
  context.strokeStyle = colour
  context.lineWidth = 1.5
  context.beginPath()
  context.roundRect(x - 3, y - 3, width + 6, height + 6, 4)
  context.stroke()
}

function hatch(colour) {
  const size = 6 * (window.devicePixelRatio || 1)
  const tile = new OffscreenCanvas(size, size)
  const context = tile.getContext('2d')
  context.strokeStyle = colour
  context.lineWidth = size / 4
  for (const shift of [-size, 0, size]) {
    context.beginPath()
    context.moveTo(shift - 1, size + 1)
    context.lineTo(shift + size + 1, -1)
    context.stroke()
  }
  const pattern = context.createPattern(tile, 'repeat')
  pattern.setTransform(new DOMMatrix().scale(1 / (window.devicePixelRatio || 1)))
  return pattern
}
