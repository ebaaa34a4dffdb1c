/** One metric of a scrape, as its text says. */
export interface ScrapedMetric {
  readonly name: string
  readonly help: string
  readonly type: string
  /** `name{labels}`, labels sorted → value. */
  readonly samples: ReadonlyMap<string, number>
  /** Names of labels that occur, sorted, without `le` and `quantile`. */
  readonly labels: readonly string[]
}

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/
const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(,|$)/y
const SUFFIXES: Readonly<Record<string, readonly string[]>> = {
  histogram: ['_bucket', '_sum', '_count'],
  summary: ['', '_sum', '_count'],
}

/**
 * Reads Prometheus text format 0.0.4 and throws at anything that a scraper might refuse: an unknown form of line, a
 * metric in two places, a series twice, a histogram that does not add up, a counter whose name does not say so.
 */
export function parseExposition(text: string): Map<string, ScrapedMetric> {
  if (!text.endsWith('\n')) throw new Error('The text does not end with a newline')
  const found = new Map<string, ScrapedMetric>()
  let current:
    | { name: string; help: string; type: string; samples: Map<string, number>; labels: Set<string> }
    | undefined
  const finish = (): void => {
    if (!current) return
    if (found.has(current.name)) throw new Error(`${current.name} occurs twice`)
    if (current.type === 'histogram') checkHistogram(current.name, current.samples)
    if ((current.type === 'counter') !== current.name.endsWith('_total'))
      throw new Error(`${current.name} is a ${current.type}`)
    found.set(current.name, { ...current, labels: [...current.labels].sort() })
  }
  for (const line of text.split('\n')) {
    const [, kind, name = '', rest = ''] = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line) ?? []
    if (kind === 'HELP') {
      finish()
      if (!NAME.test(name) || rest.trim() === '') throw new Error(`Bad HELP: ${line}`)
      current = { name, help: rest, type: '', samples: new Map(), labels: new Set() }
    } else if (kind === 'TYPE') {
      if (current?.name !== name || current.type !== '' || !/^(counter|gauge|histogram|summary|untyped)$/.test(rest))
        throw new Error(`Bad TYPE: ${line}`)
      current.type = rest
    } else if (line !== '') {
      const match = SAMPLE.exec(line)
      if (!match || !current || current.type === '') throw new Error(`Bad line: ${line}`)
      const metric = current
      if (!(SUFFIXES[metric.type] ?? ['']).some((suffix) => match[1] === metric.name + suffix))
        throw new Error(`Not of ${metric.name}: ${line}`)
      const labels = readLabels(match[2] ?? '')
      for (const [label] of labels) if (label !== 'le' && label !== 'quantile') metric.labels.add(label)
      const series = seriesName(match[1] as string, labels)
      if (metric.samples.has(series)) throw new Error(`Twice: ${line}`)
      metric.samples.set(series, readNumber(match[3] as string))
    }
  }
  finish()
  return found
}

function readLabels(text: string): [string, string][] {
  const labels: [string, string][] = []
  LABEL.lastIndex = 0
  while (LABEL.lastIndex < text.length) {
    const match = LABEL.exec(text)
    if (!match) throw new Error(`Bad labels: {${text}}`)
    if (labels.some(([name]) => name === match[1])) throw new Error(`A label twice: {${text}}`)
    labels.push([match[1] as string, match[2] as string])
  }
  return labels
}

function seriesName(name: string, labels: readonly [string, string][]): string {
  if (labels.length === 0) return name
  return `${name}{${labels
    .map(([label, value]) => `${label}="${value}"`)
    .sort()
    .join(',')}}`
}

function readNumber(text: string): number {
  if (text === '+Inf') return Infinity
  if (text === '-Inf') return -Infinity
  if (text === 'NaN') return Number.NaN
  if (!/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text)) throw new Error(`Bad number: ${text}`)
  return Number(text)
}

function checkHistogram(name: string, samples: ReadonlyMap<string, number>): void {
  const last = new Map<string, { bound: number; count: number }>()
  for (const [series, count] of samples) {
    if (!series.startsWith(`${name}_bucket`)) continue
    const bound = readNumber(/le="([^"]+)"/.exec(series)?.[1] ?? '')
    const group = series
      .replace(/le="[^"]+",?/, '')
      .replace(/,\}|\{\}/, (end) => (end === '{}' ? '' : '}'))
      .replace('_bucket', '')
    const before = last.get(group) ?? { bound: -Infinity, count: 0 }
    if (bound <= before.bound || count < before.count) throw new Error(`Buckets of ${group} do not rise`)
    last.set(group, { bound, count })
  }
  for (const [group, { bound, count }] of last) {
    const of = (suffix: string): number | undefined => samples.get(group.replace(name, `${name}${suffix}`))
    if (bound !== Infinity || of('_count') !== count || of('_sum') === undefined)
      throw new Error(`${group} does not add up`)
  }
}
