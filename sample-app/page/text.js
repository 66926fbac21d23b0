/** Sets the text of an element, unless it has it already: screen readers announce changes only. */
export function set(element, text) {
  if (element.textContent !== text) element.textContent = text
}
