// The state of the shop on the page: the replicas, the seats, and the totals of all sales.

import { count, SaleView, wrongs } from './sale.js'
import { set } from './text.js'

const words = ['No', 'One', 'Two', 'Three', 'Four', 'Five', 'Six', 'Seven', 'Eight']

const find = (selector) => document.querySelector(selector)

export class ShopView {
  #replicas = new Map()
  #houses = new Map()
  #sale = new SaleView()
  #onReplica

  /** @param {(action: 'kill' | 'start', replica: number) => void} onReplica */
  constructor(onReplica) {
    this.#onReplica = onReplica
  }

  show(state) {
    const { sale, replicas, locks, customers, notice, database } = state
    set(find('#replica-count'), `${words[replicas.length]} ${replicas.length === 1 ? 'replica' : 'replicas'}`)
    set(find('#database'), database)
    find('#locks').setAttribute('aria-checked', String(locks))
    document.body.classList.toggle('unlocked', !locks)
    showNotice(notice)
    showCustomers(customers)
    this.#sale.show(state)
    for (const replica of replicas) this.#showReplica(replica, Math.max(...replicas.map(({ sold }) => sold), 1))
    for (const event of sale.events) this.#showHouse(event)
    showTotals(state)
  }

  /** Shows how long the pause still takes; called again and again. */
  tick(now) {
    this.#sale.tick(now)
  }

  #showReplica({ number, status, pid, sold }, most) {
    let view = this.#replicas.get(number)
    if (!view) {
      view = replicaView(number)
      view.button.addEventListener('click', () => this.#onReplica(view.button.dataset.action, number))
      this.#replicas.set(number, view)
      find('#replicas').append(view.item)
    }
    const action = status === 'stopped' ? 'start' : 'kill'
    view.item.classList.toggle('stopped', status === 'stopped')
    view.item.dataset.status = status
    set(view.state, status === 'open' ? `pid ${pid}` : status === 'starting' ? 'starting …' : 'stopped')
    set(view.sold, `${sold} sold`)
    set(view.button, action === 'kill' ? 'Kill' : 'Start')
    view.button.dataset.action = action
    view.button.setAttribute('aria-label', `${action === 'kill' ? 'Kill' : 'Start'} replica ${number}`)
    view.item.style.setProperty('--share', `${(sold / most) * 100}%`)
  }

  #showHouse({ id, title, capacity, available, seats }) {
    let view = this.#houses.get(id)
    if (!view) {
      view = houseView(title)
      this.#houses.set(id, view)
      find('#houses').append(view.house)
    }
    const bySeat = new Map()
    for (const [seat, replica] of seats) bySeat.set(seat, [...(bySeat.get(seat) ?? []), replica])
    const highest = Math.max(capacity, ...bySeat.keys())
    const shown = Math.min(highest, capacity + 24)
    while (view.grid.children.length > shown) view.grid.lastChild.remove()
    while (view.grid.children.length < shown) view.grid.append(document.createElement('i'))
    for (let seat = 1; seat <= shown; seat++)
      showSeat(view.grid.children[seat - 1], bySeat.get(seat) ?? [], seat > capacity)
    const again = [...bySeat.values()].filter((replicas) => replicas.length > 1).length
    const beyond = Math.max(0, seats.length - capacity)
    set(view.count, `${seats.length} sold, ${available} left`)
    set(view.more, sentence([again > 0 && `${again} double-booked`, beyond > 0 && `${beyond} more tickets than seats`]))
    view.grid.setAttribute(
      'aria-label',
      `${title}: ${seats.length} tickets sold for ${capacity} seats, ${again} seats double-booked`,
    )
  }
}

/** The user's latest choice may not have reached the sample yet. */
let customersTouchedAt = -Infinity

export function touchCustomers() {
  customersTouchedAt = performance.now()
}

function showCustomers(customers) {
  if (performance.now() - customersTouchedAt < 600) return
  find('#customers').value = String(customers)
  find('#customers-count').textContent = String(customers)
}

/** How long the error of an action stays, even if the state of the shop needs no notice. */
const errorMs = 4_000
let keepUntil = 0

/** Shows the error of an action. */
export function showError(text) {
  keepUntil = 0
  showNotice({ kind: 'error', text })
  keepUntil = performance.now() + errorMs
}

/** Shows what needs attention; `error` in red. */
export function showNotice(notice) {
  if (performance.now() < keepUntil) return
  const element = find('#notice')
  element.hidden = !notice
  element.classList.toggle('error', notice?.kind === 'error')
  set(element, notice?.text ?? '')
}

function showTotals({ sale, totals }) {
  const [on, off] = ['on', 'off'].map((mode) => {
    const isCurrent = sale.number > 0 && sale.phase !== 'over' && sale.locks === (mode === 'on')
    const all = { ...totals[mode] }
    if (isCurrent) for (const key of Object.keys(all)) all[key] += key === 'sales' ? 1 : sale[key]
    return all
  })
  const rows = [['sales', 'Sales', count], ['sold', 'Tickets sold', count], ...wrongs].map(([name, label, write]) => {
    const row = document.createElement('tr')
    const head = document.createElement('th')
    head.scope = 'row'
    head.textContent = label
    row.dataset.figure = name
    row.append(head, ...[on, off].map((all) => cell(all, name, write)))
    return row
  })
  find('#totals').replaceChildren(...rows)
}

function cell(all, name, write) {
  const cell = document.createElement('td')
  cell.textContent = all.sales === 0 ? '–' : write(all[name])
  const isWrong = name !== 'sales' && name !== 'sold' && all[name] > 0
  cell.className = isWrong ? 'wrong' : ''
  return cell
}

function replicaView(number) {
  const item = document.createElement('li')
  item.className = 'replica'
  item.dataset.replica = String(number)
  item.style.setProperty('--own', `var(--replica-${((number - 1) % 8) + 1})`)
  item.innerHTML =
    '<span class="badge" aria-hidden="true"></span><div><h3></h3><p><span></span> · <span></span></p></div><button type="button"></button><div class="share"><i></i></div>'
  item.querySelector('.badge').textContent = String(number)
  item.querySelector('h3').textContent = `Replica ${number}`
  const [sold, state] = item.querySelectorAll('p span')
  return { item, sold, state, button: item.querySelector('button') }
}

function houseView(title) {
  const house = document.createElement('div')
  house.innerHTML = '<h3><b></b><span></span></h3><div class="house" role="img"></div><p class="more"></p>'
  const name = house.querySelector('b')
  name.replaceWith(title)
  return {
    house,
    count: house.querySelector('h3 span'),
    grid: house.querySelector('.house'),
    more: house.querySelector('.more'),
  }
}

function showSeat(seat, replicas, isExtra) {
  const text = replicas.length > 1 ? `${replicas.length}×` : (replicas[0] ?? '')
  set(seat, String(text))
  seat.className = [replicas.length === 1 && 'sold', replicas.length > 1 && 'double', isExtra && 'extra']
    .filter(Boolean)
    .join(' ')
  if (replicas.length === 1) seat.style.setProperty('--own', `var(--replica-${((replicas[0] - 1) % 8) + 1})`)
}

function sentence(parts) {
  return parts.filter(Boolean).join(', ')
}
