/**
 * Hours east of UTC of the zones that Ruby and older php-resque name when they run in one: the abbreviations that the
 * tz database has in use. Of several zones with one name (CST, IST, PST) it is the one that Ruby's own `Date.parse`
 * takes.
 */
const ZONES: ReadonlyMap<string, number> = new Map(
  Object.entries({
    WET: 0,
    'WEST BST CET WAT': 1,
    'CEST EET CAT SAST': 2,
    'EEST MSK EAT IDT': 3,
    PKT: 5,
    IST: 5.5,
    WIB: 7,
    'WITA HKT AWST': 8,
    'WIT JST KST': 9,
    ACST: 9.5,
    'AEST ChST': 10,
    ACDT: 10.5,
    AEDT: 11,
    NZST: 12,
    NZDT: 13,
    SST: -11,
    HST: -10,
    'AKST HDT': -9,
    'PST AKDT': -8,
    'MST PDT': -7,
    'CST MDT': -6,
    'EST CDT': -5,
    'AST EDT': -4,
    NST: -3.5,
    ADT: -3,
    NDT: -2.5,
  }).flatMap(([names, hours]) => names.split(' ').map((name) => [name, hours] as const)),
)

/**
 * The dates of the Resque family in one reader: Ruby `2026/11/22 18:25:21 UTC` (also without a zone), php-resque
 * `2026-11-22T18:23:08+00:00`, older php-resque `Sun Nov 22 18:23:08 UTC 2026`, redisQueue `2026-11-23 02:31:30`,
 * node-resque `Sun Nov 22 2026 18:26:07 GMT+0000 (Coordinated Universal Time)`, Ruby `2026-11-22 18:24:39 +0000`, and
 * Unix seconds. Ruby and older php-resque write the zone of their machine: `CET`, or `-03` where it has no name. A date
 * without a zone, or in one that is not known, is read as UTC: hours off is better than none. undefined for anything
 * else.
 */
export function parseDate(value: unknown): Date | undefined {
  if (typeof value === 'number') return dateOf(value > 1e11 ? value : value * 1000)
  if (typeof value !== 'string' || value.length > 100) return undefined
  if (/^\d{9,11}(\.\d+)?$/.test(value)) return dateOf(Number(value) * 1000)
  const numeric =
    /^(\d{4})[-/](\d\d)[-/](\d\d)[T ](\d\d:\d\d:\d\d(?:\.\d+)?) ?([A-Z][A-Za-z]{0,4}|[+-]\d\d(?::?\d\d)?)?$/.exec(value)
  if (numeric) {
    const [, year, month, day, time, zone] = numeric
    return zoned(`${year}-${month}-${day}T${time}Z`, zone)
  }
  const worded =
    /^\w{3} (\w{3}) +(\d{1,2}) (?:(\d{4}) )?(\d\d:\d\d:\d\d) ((?:GMT)?[+-]\d\d(?:\d\d)?|[A-Z][A-Za-z]{0,4})(?: (\d{4}))?/.exec(
      value,
    )
  if (!worded) return undefined
  const [, month, day, yearBefore, time, zone, yearBehind] = worded
  const year = yearBefore ?? yearBehind
  return year === undefined ? undefined : zoned(`${day} ${month} ${year} ${time} UTC`, zone)
}

/** The moment at which a clock in a zone shows what a clock in UTC shows at `utc`. */
function zoned(utc: string, zone = ''): Date | undefined {
  const [, sign, hours, minutes = '0'] = /^(?:GMT)?([+-])(\d\d):?(\d\d)?$/.exec(zone) ?? []
  const east =
    sign === undefined ? (ZONES.get(zone) ?? 0) : (sign === '-' ? -1 : 1) * (Number(hours) + Number(minutes) / 60)
  return dateOf(Date.parse(utc) - east * 3_600_000)
}

function dateOf(ms: number): Date | undefined {
  const date = new Date(ms)
  return Number.isNaN(date.getTime()) ? undefined : date
}
