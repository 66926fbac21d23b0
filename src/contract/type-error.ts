/** Appears only in compiler messages: a reason, in words, where a type would only say that something does not fit. */
export interface NamedLockTypeError<Message extends string> {
  /** The reason, in words. */
  readonly error: Message
}
