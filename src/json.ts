/** Whether a parsed value is an object: no list, and not null. */
export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

const LONE_SURROGATE = /(?<!\\)((?:\\\\)*)\\ud[89a-f][\da-f]{2}/g

/**
 * A value as JSON that Ruby and PHP read, too: undefined where it has none. What is left of a character that was cut in
 * half (`text.slice(0, 100)`) becomes U+FFFD. `JSON.stringify` writes it as an escape which those two refuse, and with
 * it the whole list that a dashboard wants to show.
 */
export function familyJson(value: object): string
export function familyJson(value: unknown): string | undefined
export function familyJson(value: unknown): string | undefined {
  const json = JSON.stringify(value) as string | undefined
  return json?.includes('\\ud') ? json.replace(LONE_SURROGATE, '$1\\ufffd') : json
}
