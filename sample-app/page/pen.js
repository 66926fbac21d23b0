// Draws a lane: one row per replica, so that exclusion is visible: never two bars at one moment.

import { overlaps } from './lanes.js'

const row = { height: 8, gap: 2 }
const padding = 7
const shortestBar = 1.5
const shortestWait = 12

/** The colours of the page, which follow the user's colour scheme. */
export class Palette {
  constructor(replicas) {
    const style = getComputedStyle(document.documentElement)
    const read = (name) => style.getPropertyValue(name).trim()
    this.line = read('--line')
    this.muted = read('--muted')
    this.ink = read('--ink')
    this.bad = read('--bad')
    this.clash = read('--clash')
    this.replicas = Array.from({ length: replicas }, (_, index) => read(`--replica-${(index % 8) + 1}`))
    this.hatches = this.replicas.map(hatch)
  }
}

export function laneHeight(replicas) {
  return 2 * padding + replicas * row.height + (replicas - 1) * row.gap
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
 * @param {{ from: number, to: number, width: number, replicas: number, palette: Palette, marks: object[], selected: unknown }} view
 */
export function drawLane(context, lane, view) {
  const { from, to, width, replicas, palette, marks, selected } = view
  const height = laneHeight(replicas)
  const x = (at) => ((Math.min(Math.max(at, from - 1000), to) - from) / (to - from)) * width
  const isSeen = ({ start, end }) => start < to && end > from
  const stays = lane.stays.filter(isSeen)

  drawSeconds(context, from, to, x, height, palette)
  for (const [start, end] of overlaps(stays.filter(({ guarded }) => !guarded))) {
    context.fillStyle = palette.clash
    context.fillRect(x(start), 0, Math.max(1, x(end) - x(start)), height)
    context.fillStyle = palette.bad
    context.fillRect(x(start), height - 2, Math.max(1, x(end) - x(start)), 2)
  }
  for (const wait of [...lane.waits, ...lane.queue].filter(isSeen)) {
    if (Math.min(wait.end, to) - wait.start < shortestWait) continue
    context.globalAlpha = 0.5
    context.fillStyle = palette.replicas[wait.replica - 1]
    clearThenFill(context, x(wait.start), top(wait.replica) + row.height / 2 - 1, x(wait.end) - x(wait.start), 2)
    context.globalAlpha = 1
  }
  for (const stay of stays) {
    const left = x(stay.start)
    const bar = [left, top(stay.replica), Math.max(shortestBar, x(stay.end) - left), row.height]
    if (stay.guarded) drawHeld(context, bar, palette.replicas[stay.replica - 1])
    else drawBare(context, bar, palette, stay.replica)
    if (stay.lost) drawCross(context, x(stay.end), top(stay.replica) + row.height / 2, palette.bad)
    if (stay === selected) drawRing(context, bar, palette.ink)
  }
  for (const mark of marks) {
    if (mark.at < from || mark.at > to) continue
    const cutShort = stays.some(({ replica, end }) => replica === mark.replica && end === mark.at)
    drawMark(context, mark, x(mark.at), height, palette, cutShort)
  }
}

/** The position of a replica's row, for hit tests. */
export function replicaAt(y, replicas) {
  return Math.min(replicas, Math.max(1, 1 + Math.floor((y - padding + row.gap / 2) / (row.height + row.gap))))
}

export function drawAxis(context, view) {
  const { from, to, width, palette } = view
  const x = (at) => ((at - from) / (to - from)) * width
  context.fillStyle = palette.muted
  context.font = `11px ${getComputedStyle(document.documentElement).fontFamily}`
  const step = (to - from) / width > 12 ? 2000 : 1000
  for (let at = Math.ceil(from / step) * step; at <= to; at += step) {
    const text = new Date(at).toLocaleTimeString('en-GB')
    const half = context.measureText(text).width / 2
    if (x(at) - half >= 0 && x(at) + half <= width) context.fillText(text, x(at) - half, 13)
  }
}

function top(replica) {
  return padding + (replica - 1) * (row.height + row.gap)
}

function drawSeconds(context, from, to, x, height, palette) {
  context.fillStyle = palette.line
  for (let at = Math.ceil(from / 1000) * 1000; at < to; at += 1000) context.fillRect(Math.round(x(at)), 0, 1, height)
}

/** Draws waits without overlaps, because several waits at once must not look darker. */
function clearThenFill(context, x, y, width, height) {
  context.clearRect(x, y, width, height)
  context.fillRect(x, y, width, height)
}

function drawHeld(context, [x, y, width, height], colour) {
  context.fillStyle = colour
  if (width < 4) return context.fillRect(x, y, width, height)
  context.beginPath()
  context.roundRect(x, y, width - 0.5, height, 2)
  context.fill()
}

function drawBare(context, [x, y, width, height], palette, replica) {
  context.fillStyle = palette.hatches[replica - 1]
  context.fillRect(x, y, width, height)
  context.strokeStyle = palette.replicas[replica - 1]
  context.lineWidth = 1
  if (width > 2) context.strokeRect(x + 0.5, y + 0.5, width - 1, height - 1)
}

function drawRing(context, [x, y, width, height], colour) {
  context.strokeStyle = colour
  context.lineWidth = 1.5
  context.beginPath()
  context.roundRect(x - 3, y - 3, width + 6, height + 6, 4)
  context.stroke()
}

function drawCross(context, x, y, colour) {
  context.strokeStyle = colour
  context.lineWidth = 2
  context.beginPath()
  context.moveTo(x - 4, y - 4)
  context.lineTo(x + 4, y + 4)
  context.moveTo(x + 4, y - 4)
  context.lineTo(x - 4, y + 4)
  context.stroke()
}

/** Draws the marks: the end of a replica, its start, and the switch. */
function drawMark(context, { replica, kind }, x, height, palette, cutShort) {
  const colour = replica === 0 ? (kind === 'locksOff' ? palette.bad : palette.ink) : palette.replicas[replica - 1]
  context.strokeStyle = colour
  context.lineWidth = 1
  context.setLineDash([3, 3])
  context.beginPath()
  context.moveTo(Math.round(x) + 0.5, 0)
  context.lineTo(Math.round(x) + 0.5, height)
  context.stroke()
  context.setLineDash([])
  if (cutShort) drawCross(context, x, top(replica) + row.height / 2, palette.bad)
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
