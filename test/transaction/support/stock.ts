import type { EntityManager } from 'typeorm'
import type { Conformance } from '../../support/conformance.js'

/** A table with numbered rows and a count in each. */
export class Stock {
  readonly #ctx: Conformance

  constructor(ctx: Conformance) {
    this.#ctx = ctx
  }

  get table(): string {
    return `${this.#ctx.database}.stock`
  }

  /** Afresh, with that many rows, all 0. */
  async fill(rows = 1): Promise<void> {
    const { outsider } = this.#ctx
    await outsider.query(`DROP TABLE IF EXISTS ${this.table}`)
    await outsider.query(`CREATE TABLE ${this.table} (id INT PRIMARY KEY, n INT NOT NULL) ENGINE=InnoDB`)
    for (let id = 0; id < rows; id++) await outsider.query(`INSERT INTO ${this.table} VALUES (${id}, 0)`)
  }

  /** What is committed. */
  async count(id = 0): Promise<number> {
    return Number(await this.#ctx.outsider.value(`SELECT n FROM ${this.table} WHERE id = ${id}`))
  }

  async add(manager: EntityManager, id = 0): Promise<void> {
    await manager.query(`UPDATE ${this.table} SET n = n + 1 WHERE id = ${id}`)
  }

  async read(manager: EntityManager, id = 0): Promise<number> {
    const [row] = await manager.query(`SELECT n FROM ${this.table} WHERE id = ${id}`)
    return Number(row.n)
  }

  async write(manager: EntityManager, n: number, id = 0): Promise<void> {
    await manager.query(`UPDATE ${this.table} SET n = ${n} WHERE id = ${id}`)
  }
}
