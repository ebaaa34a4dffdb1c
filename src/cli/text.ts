/** Columns that a text takes on a terminal: wide East Asian characters and emoji take two, combining marks none. */
export function widthOf(text: string): number {
  if (/^[\x20-\x7e]*$/.test(text)) return text.length
  let width = 0
  for (const { segment } of segmenter.segment(text)) width += WIDE.test(segment) ? 2 : /^\p{M}/u.test(segment) ? 0 : 1
  return width
}

const segmenter = new Intl.Segmenter('en', { granularity: 'grapheme' })
const WIDE =
  /^(?:\p{Emoji_Presentation}|\p{Extended_Pictographic}\ufe0f|[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|[\u{20000}-\u{3fffd}])/u

/** Cuts a text to a width, with an ellipsis where something is missing. */
export function cut(text: string, width: number): string {
  if (text.length <= width && widthOf(text) <= width) return text
  let taken = ''
  let used = 0
  for (const { segment } of segmenter.segment(text.slice(0, 4 * width))) {
    const wide = widthOf(segment)
    if (used + wide > width - 1) break
    taken += segment
    used += wide
  }
  return `${taken}…`
}

/** Seconds as people read them: 0.4s, 12s, 3m05s, 2h03m, 4d02h. */
export function age(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return '-'
  const s = Math.max(0, seconds)
  if (s < 10) return `${Math.round(s * 10) / 10}s`
  const whole = Math.round(s)
  if (whole < 60) return `${whole}s`
  const two = (n: number): string => String(n).padStart(2, '0')
  if (whole < 3600) return `${Math.floor(whole / 60)}m${two(whole % 60)}s`
  if (whole < 86_400) return `${Math.floor(whole / 3600)}h${two(Math.floor((whole % 3600) / 60))}m`
  return `${Math.floor(whole / 86_400)}d${two(Math.floor((whole % 86_400) / 3600))}h`
}

/** A moment as both tables and JSON show it: ISO 8601, UTC, whole seconds. */
export function isoOf(time: Date | number | null | undefined): string | null {
  if (time === null || time === undefined) return null
  const date = new Date(time)
  return Number.isNaN(date.getTime()) ? null : `${date.toISOString().slice(0, 19)}Z`
}

/** Bytes as people read them: 512 B, 1.5 KiB, 12 MiB. */
export function bytes(n: number): string {
  let value = n
  for (const unit of ['B', 'KiB', 'MiB', 'GiB']) {
    if (value < 1024 || unit === 'GiB')
      return `${value < 10 && unit !== 'B' ? Math.round(value * 10) / 10 : Math.round(value)} ${unit}`
    value /= 1024
  }
  return `${n} B`
}
