// Everything that the timeline can show. The timeline draws with these functions only, and the legend is made of the same
// table, so that nothing is drawn without its entry.

/**
 * @typedef {{ x: number, y: number, width: number, height: number }} Box
 * @typedef {{ own: string, hatch: CanvasPattern, ink: string, bad: string, good: string, clash: string, pause: string, panel: string }} Colours
 * @type {Record<string, { label: string, draw: (context: CanvasRenderingContext2D, box: Box, colours: Colours) => void }>}
 */
export const marks = {
  holding: { label: 'holding', draw: (context, box, { own }) => bar(context, box, own) },
  waiting: { label: 'waiting', draw: (context, box, { own }) => thread(context, box, own) },
  bare: { label: 'running unlocked', draw: (context, box, { own, hatch }) => hatched(context, box, own, hatch) },
  clash: { label: 'overlap (race)', draw: (context, box, { clash, bad }) => underlined(context, box, clash, bad) },
  lost: { label: 'lock lost', draw: (context, box, { bad, panel }) => ring(context, middle(box), bad, panel) },
  started: { label: 'replica started', draw: (context, box, { own }) => arrow(context, box, own) },
  stopped: { label: 'replica killed', draw: (context, box, { own, bad }) => crossed(context, box, own, bad) },
  locksOff: { label: 'locks off', draw: (context, box, { bad }) => post(context, box, bad, []) },
  locksOn: { label: 'locks on', draw: (context, box, { good }) => post(context, box, good, []) },
  pause: { label: 'between sales', draw: (context, box, { pause }) => fill(context, box, pause) },
}

function fill(context, { x, y, width, height }, colour) {
  context.fillStyle = colour
  context.fillRect(x, y, width, height)
}

function bar(context, box, colour) {
  if (box.width < 4) return fill(context, box, colour)
  context.fillStyle = colour
  context.beginPath()
  context.roundRect(box.x, box.y, box.width - 0.5, box.height, 2)
  context.fill()
}

/** Clears its place first, because several waits at once must not look darker. */
function thread(context, { x, y, width, height }, colour) {
  const line = { x, y: y + height / 2 - 1, width, height: 2 }
  context.clearRect(line.x, line.y, line.width, line.height)
  context.globalAlpha = 0.5
  fill(context, line, colour)
  context.globalAlpha = 1
}

function hatched(context, box, colour, pattern) {
  fill(context, box, pattern)
  context.strokeStyle = colour
  context.lineWidth = 1
  if (box.width > 2) context.strokeRect(box.x + 0.5, box.y + 0.5, box.width - 1, box.height - 1)
}

function underlined(context, box, colour, line) {
  fill(context, box, colour)
  fill(context, { ...box, y: box.y + box.height - 2, height: 2 }, line)
}

function ring(context, { x, y }, colour, inside) {
  context.fillStyle = inside
  context.strokeStyle = colour
  context.lineWidth = 2
  context.beginPath()
  context.arc(x, y, 4, 0, 2 * Math.PI)
  context.fill()
  context.stroke()
}

/** A line across the lane, with the replica's sign on it. */
function arrow(context, box, colour) {
  const { x, y } = middle(box)
  post(context, box, colour, [1, 3])
  context.fillStyle = colour
  context.beginPath()
  context.moveTo(x - 3, y - 5)
  context.lineTo(x + 5, y)
  context.lineTo(x - 3, y + 5)
  context.fill()
}

function crossed(context, box, colour, sign) {
  const { x, y } = middle(box)
  post(context, box, colour, [3, 3])
  context.strokeStyle = sign
  context.lineWidth = 2
  context.beginPath()
  context.moveTo(x - 4, y - 4)
  context.lineTo(x + 4, y + 4)
  context.moveTo(x + 4, y - 4)
  context.lineTo(x - 4, y + 4)
  context.stroke()
}

/** A vertical line at the middle of the box; `of` the height of the lane, if the box is only a row of it. */
function post(context, box, colour, dashes) {
  const x = Math.round(middle(box).x)
  context.strokeStyle = colour
  context.lineWidth = dashes.length > 0 ? 1 : 2
  context.setLineDash(dashes)
  context.beginPath()
  context.moveTo(x + (dashes.length > 0 ? 0.5 : 0), box.top ?? box.y)
  context.lineTo(x + (dashes.length > 0 ? 0.5 : 0), box.bottom ?? box.y + box.height)
  context.stroke()
  context.setLineDash([])
}

function middle({ x, y, width, height }) {
  return { x: x + width / 2, y: y + height / 2 }
}
