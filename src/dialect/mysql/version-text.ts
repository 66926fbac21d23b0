/** An expression for what kind of server it is: some engines say that in the comment only. */
export const VERSION_TEXT = "CONCAT_WS(' ',VERSION(),@@version_comment)"
