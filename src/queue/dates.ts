/**
 * The dates of the Resque family in one reader: Ruby `2026/11/22 18:25:21 UTC` (also without a zone), php-resque
 * `2026-11-22T18:23:08+00:00`, older php-resque `Sun Nov 22 18:23:08 UTC 2026`, redisQueue `2026-11-23 02:31:30`,
 * node-resque `Sun Nov 22 2026 18:26:07 GMT+0000 (Coordinated Universal Time)`, Ruby `2026-11-22 18:24:39 +0000`, and
 * Unix seconds. A date without a zone is read as UTC, and so is one whose zone has only a name, as those of older
 * php-resque and Ruby have (`CET`, `EST`): such names mean several zones, and a date that is hours off beats none.
 * undefined for anything else.
 */
export function parseDate(value: unknown): Date | undefined {
  if (typeof value === 'number') return dateOf(value > 1e11 ? value : value * 1000)
  if (typeof value !== 'string' || value.length > 100) return undefined
  if (/^\d{9,11}(\.\d+)?$/.test(value)) return dateOf(Number(value) * 1000)
  const numeric = /^(\d{4})[-/](\d\d)[-/](\d\d)[T ](\d\d:\d\d:\d\d(?:\.\d+)?) ?([A-Z]{1,5}|[+-]\d\d(?::?\d\d)?)?$/.exec(
    value,
  )
  if (numeric) {
    const [, year, month, day, time, zone] = numeric
    return dateOf(Date.parse(`${year}-${month}-${day}T${time}${offsetOf(zone)}`))
  }
  const worded =
    /^\w{3} (\w{3}) +(\d{1,2}) (?:(\d{4}) )?(\d\d:\d\d:\d\d) (?:GMT(?=[+-]))?([A-Z]{1,5}|[+-]\d\d(?:\d\d)?)(?: (\d{4}))?/.exec(
      value,
    )
  if (!worded) return undefined
  const [, month, day, yearBefore, time, zone, yearBehind] = worded
  const year = yearBefore ?? yearBehind
  return year === undefined ? undefined : dateOf(Date.parse(`${day} ${month} ${year} ${time} ${offsetOf(zone)}`))
}

/** `+01:00` of `+01`, `+0100` or `+01:00`; `Z` of a name and of nothing. */
function offsetOf(zone = ''): string {
  return /^[+-]/.test(zone) ? `${zone.slice(0, 3)}:${zone.slice(3).replace(':', '') || '00'}` : 'Z'
}

function dateOf(ms: number): Date | undefined {
  const date = new Date(ms)
  return Number.isNaN(date.getTime()) ? undefined : date
}
