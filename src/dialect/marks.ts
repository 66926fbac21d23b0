/** The namespace of polling marks. Its `~` keeps them apart from every key that a name can have. */
export const MARKS = '~polling'
