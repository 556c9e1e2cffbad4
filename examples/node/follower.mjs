// Follows the results of an inspection appliance: each one once and in order, from a cursor that the caller keeps.
//
// Two sources: the result lane (quick, may lose messages) and replay (asks the journal, which knows everything). Only
// answers of replay move the follower over a gap or into another epoch. Sequence numbers are plain numbers here: a
// journal never gets to 2^53. Some numbers *inside* records do (device_timestamp_ns): keep bodies as text.

import { Dealer, Subscriber } from "zeromq"

const PAGE = 500 // most results in one answer
const HOLD = 1000 // results kept that came before their turn
const ANSWER_MS = [1000, 8000] // then the question is asked again over a new connection, each time later: it may be slow
const SILENCE_MS = 3000 // heartbeats come each second; without them look at the journal
// A queue without limit: libzmq aborts a process whose queue was full when its connection broke (libzmq #3937).
const COMMON = { linger: 0, receiveHighWaterMark: 0, reconnectInterval: 50, reconnectMaxInterval: 500, heartbeatInterval: 500, heartbeatTimeout: 1500 }

export class Follower {
  /**
   * @param {{endpoint: string, replay: string, consumer: string, cursor?: {epoch: string, seq: number},
   *   keys?: {curvePublicKey: string, curveSecretKey: string, curveServerKey: string}}} options
   *   cursor: of the last item the caller has stored; without it everything that is kept comes.
   */
  constructor({ endpoint, replay, consumer, cursor, keys = {} }) {
    this.replay = replay
    this.consumer = consumer
    this.options = { ...COMMON, ...keys }
    this.epoch = cursor?.epoch
    this.last = cursor?.seq ?? 0
    this.head = this.last // as far as is known
    this.mustLook = true
    this.held = new Map()
    this.heard = () => {}
    this.isOpen = true
    this.turn = Promise.resolve() // one question at a time
    this.patience = ANSWER_MS[0]
    this.lane = new Subscriber(this.options)
    this.lane.connect(endpoint)
    this.lane.subscribe("result.", "sim.result.", "heartbeat.", "sim.heartbeat.", "welcome")
    this.listening = this.listen()
  }

  /** Yields {kind: "result", epoch, seq, body}, {kind: "lost", epoch, seq, firstSeq}, {kind: "anew", epoch, seq: 0, previous}. */
  async *items() {
    while (this.isOpen) {
      const body = this.held.get(this.last + 1)
      if (body !== undefined) {
        this.held.delete(++this.last)
        yield { kind: "result", epoch: this.epoch, seq: this.last, body }
      } else if (this.mustLook || this.head > this.last) {
        yield* this.lookIntoJournal()
      } else {
        await this.news()
      }
    }
  }

  /** Acknowledges an item and all before it; call it when the item is safe. Resolves to whether that is on record. */
  async ack({ epoch, seq }) {
    if (seq === 0) return true
    const [word] = await this.ask("ACK", this.consumer, epoch, String(seq))
    return word === "ACKED"
  }

  async close() {
    this.isOpen = false
    this.lane.close()
    this.dealer?.close() // ends its wait for an answer
    this.heard()
    await this.listening
    await this.turn
  }

  async listen() {
    for await (const frames of this.lane) {
      if (frames.length === 3) this.live(JSON.parse(frames[1]), frames[2])
      else if (frames.length === 2) this.told(JSON.parse(frames[1]))
      else this.told(JSON.parse(frames[0].toString().replace(/^welcome /, "")))
      this.heard()
    }
  }

  live({ epoch, seq }, body) {
    this.told({ epoch, head_seq: seq })
    if (epoch === this.epoch && seq > this.last && seq <= this.last + HOLD) this.held.set(seq, body.toString())
  }

  told({ epoch, head_seq }) {
    if (epoch === this.epoch) this.head = Math.max(this.head, head_seq)
    else this.mustLook = true // a new journal, or a message older than it: replay knows
  }

  async news() {
    let timer
    await new Promise((resolve) => {
      this.heard = resolve
      timer = setTimeout(() => {
        this.mustLook = true
        resolve()
      }, SILENCE_MS)
    })
    clearTimeout(timer)
  }

  async *lookIntoJournal() {
    if (this.epoch === undefined) {
      const [, epoch, oldest] = await this.ask("HEAD")
      if (!this.isOpen) return
      this.epoch = epoch
      this.last = this.head = Math.max(Number(oldest), 1) - 1
    }
    const first = this.last + 1
    const answer = await this.ask("GET", this.epoch, String(first), String(first + PAGE - 1))
    if (!this.isOpen) return
    this.mustLook = false
    yield* this.take(first, answer)
    if (this.last + 1 === first) this.head = this.last // nothing new: wait for news instead of asking the same again
  }

  *take(first, answer) {
    if (answer[0] === "ROWS") yield* this.rows(first, answer)
    else if (answer[0] === "GONE") yield* this.skipTo(Number(answer[1]))
    else if (answer[0] === "BADEPOCH") yield this.startOver(answer[1])
    else throw new Error(`the appliance refuses GET ${first}: ${answer[1]}`)
  }

  *rows(first, [, , head, ...rows]) {
    if (Number(head) < first - 1) throw new Error(`the journal ends at ${head}, before our ${first - 1}: an old copy?`)
    this.head = Math.max(this.head, Number(head))
    for (let i = 0; i < rows.length; i += 2) {
      yield* this.skipTo(Number(rows[i]))
      if (Number(rows[i]) > this.last) this.held.set(this.last + 1, rows[i + 1])
      yield* this.release()
    }
    if (rows.length === 0) yield* this.skipTo(Math.min(Number(head), first + PAGE - 1) + 1)
  }

  *release() {
    for (let body; (body = this.held.get(this.last + 1)) !== undefined; ) {
      this.held.delete(++this.last)
      yield { kind: "result", epoch: this.epoch, seq: this.last, body }
    }
  }

  *skipTo(seq) {
    while (this.last + 1 < seq) {
      yield* this.release()
      const firstSeq = this.last + 1
      if (firstSeq >= seq) return
      this.last = Math.min(seq, ...this.held.keys()) - 1
      yield { kind: "lost", epoch: this.epoch, seq: this.last, firstSeq }
    }
  }

  startOver(epoch) {
    const previous = { epoch: this.epoch, seq: this.last }
    this.held.clear()
    this.epoch = epoch
    this.last = this.head = 0
    this.mustLook = true
    return { kind: "anew", epoch, seq: 0, previous }
  }

  /** Asks until an answer comes; gives its frames as text. */
  ask(...question) {
    const answer = this.turn.then(() => this.askNow(question))
    this.turn = answer.catch(() => {})
    return answer
  }

  async askNow(question) {
    while (this.isOpen) {
      this.dealer ??= this.connect()
      try {
        await this.dealer.send(question)
        const answer = await this.dealer.receive()
        this.patience = ANSWER_MS[0]
        return answer.map(String)
      } catch (error) {
        if (error.code !== "EAGAIN") throw error
        this.dealer.close() // an answer that comes later must not be taken for the next question's
        this.dealer = undefined
        this.patience = Math.min(2 * this.patience, ANSWER_MS[1])
      }
    }
    return []
  }

  connect() {
    const dealer = new Dealer({ ...this.options, receiveTimeout: this.patience, sendTimeout: this.patience })
    dealer.connect(this.replay)
    return dealer
  }
}
