// The current sale: what is going on now, its verdict, and its figures.

import { set } from './text.js'

/** The faults that the page counts, in the order in which they move without locks: figure, label, format. */
export const wrongs = [
  ['overlaps', 'Overlaps', count],
  ['doubleBooked', 'Double-booked seats', count],
  ['missingMoney', 'Revenue missing', euros],
  ['paidTwice', 'Paid out twice', count],
  ['oversold', 'Oversold', count],
]

export function count(number) {
  return number.toLocaleString('en')
}

function euros(amount) {
  return `${amount < 0 ? '−' : ''}€${count(Math.abs(amount))}`
}

const find = (selector) => document.querySelector(selector)

export class SaleView {
  #state
  #announced = ''

  show(state) {
    this.#state = state
    const { sale, verdict, previous } = state
    set(find('#sale-title'), sale.number === 0 ? 'No sale yet' : title(sale))
    set(find('#conclusion'), verdict.conclusion || 'No ticket sold yet.')
    find('#conclusion').dataset.tone = verdict.tone
    showReasons(verdict.reasons)
    set(find('#previous'), previous ? `Before that, ${lower(title(previous))}: ${lower(previous.conclusion)}` : '')
    showFigures(sale)
    this.#announce(sale, verdict)
  }

  /** @param {number} now By the clock of the sample, in epoch milliseconds. */
  tick(now) {
    if (this.#state) set(find('#phase'), phase(this.#state, now))
  }

  /** Only the end of a sale is read out: its figures change several times in a second. */
  #announce(sale, verdict) {
    const key = `${sale.number} ${sale.phase}`
    if (sale.phase !== 'over' || key === this.#announced) return
    this.#announced = key
    set(find('#announcement'), `${title(sale)}: ${verdict.conclusion} ${verdict.reasons.join(' ')}`)
  }
}

function title({ number, locks }) {
  return `Sale ${number}, ${locks ? 'with' : 'without'} locks`
}

/** What is going on now. */
function phase({ sale, locks, customers, replicas }, now) {
  const mode = `${locks ? 'with' : 'without'} locks`
  const isOpen = replicas.some(({ status }) => status === 'open')
  if (sale.phase === 'preparing' || !isOpen) {
    const isStarting = replicas.some(({ status }) => status === 'starting')
    if (isOpen) return 'The first sale begins …'
    return isStarting ? 'The replicas are starting …' : 'No replica is running.'
  }
  if (sale.phase === 'selling') {
    const left = sale.events.filter(({ available }) => available > 0).length
    if (customers === 0) return 'Selling, but there are no customers. Buy a ticket, or move the slider.'
    return left === 0 ? 'Selling the last tickets …' : 'Selling. The sale ends when both events are sold out.'
  }
  if (sale.phase === 'closing') {
    const end = sale.cutShort ? `Ended early, because the next sale is ${mode}.` : 'Closed.'
    return `${end} The last orders are being settled …`
  }
  const seconds = Math.ceil((sale.nextAt - now) / 1000)
  return seconds > 0 ? `The next sale begins in ${seconds} s, ${mode}.` : `The next sale begins, ${mode} …`
}

function showReasons(reasons) {
  const list = find('#reasons')
  while (list.children.length > reasons.length) list.lastChild.remove()
  while (list.children.length < reasons.length) list.append(document.createElement('li'))
  reasons.forEach((reason, index) => set(list.children[index], reason))
}

function showFigures(sale) {
  const sold = ['sold', 'Tickets sold', (number) => count(number)]
  for (const [name, label, write] of [sold, ...wrongs]) {
    const group = find(`#figures [data-figure="${name}"]`) ?? addFigure(name, label)
    group.classList.toggle('wrong', name !== 'sold' && sale[name] !== 0)
    set(group.querySelector('b'), write(sale[name]))
  }
  set(find('#figures small'), ` of ${sale.capacity}`)
}

function addFigure(name, label) {
  const group = document.createElement('div')
  group.dataset.figure = name
  group.innerHTML = `<dt></dt><dd><b></b>${name === 'sold' ? '<small></small>' : ''}</dd>`
  group.querySelector('dt').textContent = label
  find('#figures').append(group)
  return group
}

function lower(text) {
  return text.charAt(0).toLowerCase() + text.slice(1)
}
