import { singleValue } from '../typeorm/raw-connection.js'

/**
 * The answers of a batch, which the server sends as one text with commas between them; none where it sent NULL. An answer may be
 * empty, so two of them are a lone comma. A lone answer of one character needs no array of a split.
 */
export function readBatch(rows: unknown): (string | undefined)[] {
  const answers = singleValue(rows)
  if (answers === undefined) return []
  return answers.length === 1 && answers !== ',' ? [answers] : answers.split(',')
}
