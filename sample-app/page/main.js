import { Connection } from './connection.js'
import { ShopView, showError, showNotice, touchCustomers } from './shop.js'
import { set } from './text.js'
import { Timeline } from './timeline.js'

/** How long the page shows why there was no ticket. */
const failureShownMs = 8000
let inviting

const find = (selector) => document.querySelector(selector)
const timeline = new Timeline()
const shop = new ShopView((action, replica) => void act(action, { replica }))

const connection = new Connection(
  {
    hello: (hello) => timeline.begin(hello),
    locks: (news) => timeline.add(news),
    shop: (state) => {
      timeline.setReplicas(state.replicas.length)
      shop.show(state)
      shop.tick(timeline.now)
      showConnection('live', `Live on ${state.database}`)
    },
  },
  (isLive, hasEnded) => {
    document.body.classList.toggle('offline', !isLive)
    if (isLive) return
    showConnection('lost', 'Connection lost. Reconnecting …')
    if (hasEnded) showNotice({ kind: 'info', text: 'The sample has ended. Start it again, and this page continues.' })
  },
)
setInterval(() => shop.tick(timeline.now), 200)

function showConnection(state, text) {
  find('#connection').className = `connection ${state}`
  set(find('#connection'), text)
}

async function act(action, body) {
  try {
    await connection.send(action, body)
  } catch (error) {
    showError(error.message)
  }
}

find('#locks').addEventListener('click', ({ currentTarget }) => {
  void act('locks', { on: currentTarget.getAttribute('aria-checked') !== 'true' })
})

find('#customers').addEventListener('input', ({ target }) => {
  touchCustomers()
  set(find('#customers-count'), target.value)
  void act('customers', { count: Number(target.value) })
})

find('#buy').addEventListener('submit', async (event) => {
  event.preventDefault()
  const select = find('#event')
  const title = select.selectedOptions[0].textContent
  const bought = find('#bought')
  clearTimeout(inviting)
  set(bought, 'One moment …')
  const answer = await connection
    .send('buy', { eventId: Number(select.value) })
    .catch(({ message }) => ({ outcome: 'failed', message }))
  bought.className = answer.outcome === 'failed' ? 'failed' : ''
  set(bought, told(answer, title))
  clearTimeout(inviting)
  if (answer.outcome !== 'sold') inviting = setTimeout(invite, failureShownMs)
})

/** Its reason may be over by then: a replica was started, a new sale has begun. */
function invite() {
  find('#bought').className = ''
  set(find('#bought'), 'Buy one yourself.')
}

function told({ outcome, seat, replica, ms, message }, title) {
  if (outcome === 'sold') return `Seat ${seat} at ${title}, from replica ${replica} in ${Math.round(ms)} ms.`
  if (outcome === 'soldOut') return `${title} is sold out. A new sale starts soon.`
  return outcome === 'closed' ? 'No sale at the moment. The next one begins soon.' : `No ticket: ${message}`
}
