import { ShopView, touchCustomers } from './shop.js'
import { Timeline } from './timeline.js'

const find = (selector) => document.querySelector(selector)
const timeline = new Timeline()
const shop = new ShopView((action, replica) => void tell(`/${action}`, { replica }))

function connect() {
  const feed = new EventSource('/feed')
  const receive = (name, handle) => feed.addEventListener(name, ({ data }) => handle(JSON.parse(data)))
  feed.addEventListener('open', () => showConnection('live', 'Live'))
  feed.addEventListener('error', () => {
    showConnection('lost', 'Connection lost. Reconnecting …')
    if (feed.readyState !== EventSource.CLOSED) return
    setTimeout(connect, 2000)
  })
  receive('hello', (hello) => timeline.begin(hello))
  receive('locks', (news) => timeline.add(news))
  receive('shop', (state) => {
    timeline.setReplicas(state.replicas.length)
    shop.show(state)
    showConnection('live', `Live on ${state.database}`)
  })
}

function showConnection(state, text) {
  const connection = find('#connection')
  if (connection.textContent === text) return
  connection.className = `connection ${state}`
  connection.textContent = text
}

/** Sends a request; rejects with the message of the sample, or if the sample does not respond. */
async function ask(path, body) {
  const headers = { 'content-type': 'application/json' }
  const response = await fetch(path, { method: 'POST', headers, body: JSON.stringify(body) }).catch(() => undefined)
  if (!response) throw new Error('The sample does not respond.')
  const answer = await response.json()
  if (!response.ok) throw new Error(answer.message)
  return answer
}

async function tell(path, body) {
  try {
    await ask(path, body)
  } catch (error) {
    find('#problem').hidden = false
    find('#problem').textContent = error.message
  }
}

find('#locks').addEventListener('click', ({ currentTarget }) => {
  void tell('/locks', { on: currentTarget.getAttribute('aria-checked') !== 'true' })
})

find('#customers').addEventListener('input', ({ target }) => {
  touchCustomers()
  find('#customers-count').textContent = target.value
  void tell('/customers', { count: Number(target.value) })
})

find('#buy').addEventListener('submit', async (event) => {
  event.preventDefault()
  const select = find('#event')
  const title = select.selectedOptions[0].textContent
  const bought = find('#bought')
  bought.className = ''
  bought.textContent = 'One moment …'
  try {
    const { outcome, seat, replica, ms } = await ask('/buy', { eventId: Number(select.value) })
    bought.textContent =
      outcome === 'sold'
        ? `Seat ${seat} at ${title}, from replica ${replica} in ${Math.round(ms)} ms.`
        : `${title} is sold out. A new sale starts soon.`
  } catch (error) {
    bought.className = 'failed'
    bought.textContent = `No ticket: ${error.message}`
  }
})

connect()
