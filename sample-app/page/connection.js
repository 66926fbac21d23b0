// The page's connection to the sample: its feed of events, and the actions.

/** The sample sends something every 4 seconds; after this silence the page connects anew. */
const silenceMs = 12_000
const retryMs = 2_000

export class Connection {
  #handlers
  #onChange
  #feed
  #run
  #heardAt = 0
  #isLive = false

  /**
   * @param {Record<string, (data: any) => void>} handlers By the name of the event.
   * @param {(isLive: boolean, hasEnded?: boolean) => void} onChange
   */
  constructor(handlers, onChange) {
    this.#handlers = handlers
    this.#onChange = onChange
    this.#connect()
    setInterval(() => {
      if (performance.now() - this.#heardAt < silenceMs) return
      this.#change(false)
      this.#connect()
    }, 1000)
    // A page that the browser kept while the user was elsewhere has missed everything since.
    addEventListener('pageshow', ({ persisted }) => persisted && location.reload())
  }

  #connect() {
    this.#feed?.close()
    this.#heardAt = performance.now()
    const feed = (this.#feed = new EventSource('feed'))
    const receive = (name, handle) => {
      feed.addEventListener(name, ({ data }) => {
        this.#heardAt = performance.now()
        handle(JSON.parse(data))
      })
    }
    feed.addEventListener('error', () => {
      this.#change(false)
      if (feed.readyState === EventSource.CLOSED) setTimeout(() => feed === this.#feed && this.#connect(), retryMs)
    })
    receive('beat', () => undefined)
    receive('end', () => this.#change(false, true))
    receive('hello', ({ run }) => {
      // Another run has other replicas and sales, and perhaps another page.
      if (this.#run !== undefined && this.#run !== run) location.reload()
      this.#run = run
      this.#change(true)
    })
    for (const [name, handle] of Object.entries(this.#handlers)) receive(name, handle)
  }

  #change(isLive, hasEnded = false) {
    this.#isLive = isLive
    this.#onChange(isLive, hasEnded)
  }

  /** Sends an action; rejects with the message of the sample, or if the sample does not respond. */
  async send(path, body) {
    if (!this.#isLive) throw new Error('The sample does not respond.')
    const headers = { 'content-type': 'application/json' }
    const response = await fetch(path, { method: 'POST', headers, body: JSON.stringify(body) }).catch(() => undefined)
    if (!response) throw new Error('The sample does not respond.')
    const answer = await response.json()
    if (!response.ok) throw new Error(answer.message)
    return answer
  }
}
