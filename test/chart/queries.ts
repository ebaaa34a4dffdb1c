import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from '../support/process.ts'

/** Labels that Prometheus adds to what it scrapes. */
const TARGET_LABELS = ['job', 'instance', 'namespace', 'pod', 'container']

/**
 * Every metric of docs/metrics.md, which a test compares with the code, with its labels; histograms by their three
 * names.
 */
export function documentedMetrics(): ReadonlyMap<string, ReadonlySet<string>> {
  const metrics = new Map<string, ReadonlySet<string>>()
  const rows = readFileSync(join(ROOT, 'docs', 'metrics.md'), 'utf8').matchAll(
    /^\| `(\w+)` \| (gauge|counter|histogram) \|([^|]*)\|/gm,
  )
  for (const [, name = '', type, labels = ''] of rows) {
    const own = new Set(
      labels
        .split(',')
        .map((label) => label.trim())
        .filter(Boolean),
    )
    if (type === 'histogram') {
      metrics.set(`${name}_bucket`, new Set([...own, 'le']))
      metrics.set(`${name}_sum`, own)
      metrics.set(`${name}_count`, own)
    } else metrics.set(name, own)
  }
  return metrics
}

/** What a query names that does not exist: metrics, or labels of them. */
export function unknownIn(query: string, metrics: ReadonlyMap<string, ReadonlySet<string>>): string[] {
  const wrong: string[] = []
  const labels = new Set(TARGET_LABELS)
  for (const [, name = '', matchers] of query.matchAll(/\b((?:resqueue|process|nodejs)_\w+)(?:\{([^}]*)\})?/g)) {
    const own = metrics.get(name)
    if (own === undefined) {
      wrong.push(name)
      continue
    }
    for (const label of own) labels.add(label)
    for (const [, label = ''] of (matchers ?? '').matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g))
      if (!own.has(label) && !TARGET_LABELS.includes(label)) wrong.push(`${name}{${label}}`)
  }
  for (const [, list = ''] of query.matchAll(/\b(?:by|on|without|ignoring)\s*\(([^)]*)\)/g))
    for (const label of list
      .split(',')
      .map((one) => one.trim())
      .filter(Boolean))
      if (!labels.has(label)) wrong.push(`by (${label})`)
  return wrong
}
