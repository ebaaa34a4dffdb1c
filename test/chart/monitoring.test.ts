import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { copyFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'vitest'
import { parse, stringify } from 'yaml'
import { programPath } from '../cluster/tools/tools.ts'
import { ROOT } from '../support/process.ts'
import { dashboardText } from '../../scripts/render-dashboard.ts'
import { CHART, REDIS, runProgram, test, type Helm, type Manifest, type Yaml } from './helm.ts'
import { documentedMetrics, unknownIn } from './queries.ts'

const RULES = { podMonitor: { enabled: true }, prometheusRule: { enabled: true } }
const RUNBOOKS = join(ROOT, 'docs', 'runbooks')

async function groups(helm: Helm, prometheusRule: object = {}): Promise<Yaml[]> {
  const out = await helm.render({
    ...REDIS,
    metrics: { ...RULES, prometheusRule: { enabled: true, ...prometheusRule } },
  })
  return out.get('PrometheusRule', 'rq-resqueue').spec.groups
}

const alerts = (list: Yaml[]): Yaml[] => list.flatMap((group) => group.rules)

const dashboard: Yaml = JSON.parse(readFileSync(join(CHART, 'files', 'dashboard.json'), 'utf8'))
const panels = dashboard.panels.filter((panel: Yaml) => panel.type !== 'row')
const panelQueries: [string, string][] = panels.flatMap((panel: Yaml) =>
  panel.targets.map((target: Yaml) => [panel.title, target.expr]),
)

test('promtool takes the rules, and each alert fires when it should', async ({ helm, folder, skip }) => {
  const promtool = programPath('promtool')
  if (promtool === undefined) return skip('promtool is not there: install the package `prometheus`')
  await writeFile(join(folder, 'alerts.yaml'), stringify({ groups: await groups(helm) }))
  await copyFile(join(ROOT, 'test', 'chart', 'rules.promtool.yaml'), join(folder, 'test.yaml'))
  const check = await runProgram(promtool, ['check', 'rules', 'alerts.yaml'], folder)
  expect(check, check.stderr).toMatchObject({ code: 0 })
  const unit = await runProgram(promtool, ['test', 'rules', 'test.yaml'], folder)
  expect(unit.code, unit.stdout + unit.stderr).toBe(0)
})

test('every alert has unit tests in which it fires and does not, and a runbook that says what it means and what to do', async ({
  helm,
}) => {
  const names = alerts(await groups(helm)).map((rule) => rule.alert as string)
  const tests: Yaml = parse(readFileSync(join(ROOT, 'test', 'chart', 'rules.promtool.yaml'), 'utf8'))
  for (const fires of [true, false]) {
    const tested: string[] = tests.tests.flatMap((one: Yaml) =>
      one.alert_rule_test.filter((two: Yaml) => two.exp_alerts.length > 0 === fires).map((two: Yaml) => two.alertname),
    )
    expect([...new Set(tested)].sort(), `tests in which alerts ${fires ? '' : 'do not '}fire`).toEqual(
      [...names].sort(),
    )
  }
  expect(
    readdirSync(RUNBOOKS)
      .filter((file) => file.startsWith('Resqueue'))
      .sort(),
  ).toEqual(names.map((name) => `${name}.md`).sort())
  for (const name of names) {
    const page = readFileSync(join(RUNBOOKS, `${name}.md`), 'utf8')
    expect(page.startsWith(`# ${name}\n`), name).toBe(true)
    for (const section of ['## What it means', '## How to look', '## What to do']) expect(page, name).toContain(section)
  }
})

test('alerts say how bad it is, what is wrong, and where to read on', async ({ helm }) => {
  const list = alerts(
    await groups(helm, { runbookUrl: 'https://docs.example.com/runbooks/', alertLabels: { team: 'y' } }),
  )
  for (const { alert, labels, annotations } of list) {
    expect(labels, alert).toMatchObject({
      severity: expect.stringMatching(/^(critical|warning)$/),
      team: 'y',
      release: 'rq',
      namespace: expect.stringContaining('{{ else }}jobs{{ end }}'),
    })
    expect(annotations).toMatchObject({
      summary: expect.any(String),
      description: expect.any(String),
      runbook_url: `https://docs.example.com/runbooks/${alert}.md`,
    })
  }
})

test('rules are about this release, with thresholds and alerts as told', async ({ helm }) => {
  const mine = await groups(helm)
  for (const { alert, expr } of alerts(mine)) expect(expr, alert).toContain('{job="jobs/rq-resqueue"')
  const told = alerts(
    await groups(helm, {
      matchers: 'cluster="a"',
      latencySeconds: 1000000,
      failureRatio: 0.5,
      disabled: ['ResqueueBacklogGrowing'],
    }),
  )
  expect(told.map((rule) => rule.alert)).not.toContain('ResqueueBacklogGrowing')
  expect(told.length).toBe(alerts(mine).length - 1)
  const exprs = told.map((rule) => rule.expr as string).join('\n')
  expect(exprs).toContain('resqueue_queue_latency_seconds{cluster="a"}) > 1000000')
  expect(exprs).toContain('> 0.5')
  expect(JSON.stringify(told)).not.toMatch(/\$(MATCHERS|LATENCY|FAILURES|POOL|PODS)/)
})

test('an alert for each pool that always has pods, where a label tells its series', async ({ helm }) => {
  const long = `r${'1'.repeat(52)}`
  const workers = {
    scaled: { scaling: { enabled: true } },
    'by-hand': { replicas: null },
    none: { replicas: 0 },
    mail: {},
  }
  const rules = async (metrics: object, release = 'rq'): Promise<Yaml[]> => {
    const out = await helm.render({ ...REDIS, workers, metrics: { ...RULES, ...metrics } }, { release })
    const { spec } = out.all('PrometheusRule')[0] as Manifest
    return alerts(spec.groups).filter((rule) => rule.alert === 'ResqueuePoolDown')
  }
  expect((await rules({})).map(({ labels, expr }) => [labels.pool, /pod=~"(.*)"/.exec(expr)?.[1]])).toEqual([
    ['default', 'rq-resqueue-default-[0-9a-z]+-[0-9a-z]+'],
    ['mail', 'rq-resqueue-mail-[0-9a-z]+-[0-9a-z]+'],
  ])
  for (const { expr } of await rules({}, long)) expect(expr).toMatch(/pod=~"r1{40,}-[0-9a-f]{4,5}[-a-z]*\.\*"/)
  const annotated = { podMonitor: { enabled: false }, prometheusRule: { enabled: true, matchers: 'job="a"' } }
  expect(await rules(annotated)).toEqual([])
})

test('without the controller there is no alert about its leader', async ({ helm }) => {
  const out = await helm.render({ ...REDIS, controller: { enabled: false }, metrics: RULES })
  const names = alerts(out.get('PrometheusRule', 'rq-resqueue').spec.groups).map((rule) => rule.alert)
  expect(names).not.toContain('ResqueueControllerNoLeader')
  expect(names).toContain('ResqueueNoWorkers')
})

test('rules name only metrics and labels that exist', async ({ helm }) => {
  const metrics = documentedMetrics()
  const wrong = alerts(await groups(helm)).flatMap(({ alert, expr }) =>
    unknownIn(expr, metrics).map((what) => `${alert}: ${what}`),
  )
  expect(wrong).toEqual([])
})

test('a query with a wrong metric or label is noticed', () => {
  const metrics = documentedMetrics()
  expect(unknownIn('sum by (pod) (resqueue_slots{job="a"})', metrics)).toEqual([])
  expect(unknownIn('resqueue_slot', metrics)).toEqual(['resqueue_slot'])
  expect(unknownIn('sum by (class) (resqueue_slots{queue="a"})', metrics)).toEqual([
    'resqueue_slots{queue}',
    'by (class)',
  ])
  expect(unknownIn('rate(resqueue_job_wait_seconds[5m])', metrics)).toEqual(['resqueue_job_wait_seconds'])
})

test('the dashboard names only metrics and labels that exist', () => {
  const metrics = documentedMetrics()
  const variables = dashboard.templating.list.flatMap((one: Yaml) =>
    one.definition ? [[one.name, one.definition]] : [],
  )
  const wrong = [...panelQueries, ...variables].flatMap(([title, expr]: [string, string]) =>
    unknownIn(expr, metrics).map((what) => `${title}: ${what}`),
  )
  expect(wrong).toEqual([])
})

test('every query of the dashboard is one that Prometheus understands', async ({ folder, skip }) => {
  const promtool = programPath('promtool')
  if (promtool === undefined) return skip('promtool is not there: install the package `prometheus`')
  const rules = panelQueries.map(([title, expr], index) => ({
    record: `panel:${index}`,
    labels: { title: title.replaceAll(/[^A-Za-z0-9 ]/g, '') },
    expr: expr.replaceAll('$__rate_interval', '5m').replaceAll(/\$(namespace|job|queue|scaler)\b/g, '.*'),
  }))
  await writeFile(join(folder, 'panels.yaml'), stringify({ groups: [{ name: 'panels', rules }] }))
  const { code, stdout, stderr } = await runProgram(promtool, ['check', 'rules', 'panels.yaml'], folder)
  expect(code, stdout + stderr).toBe(0)
})

test('queue depths are never added up over the workers of a release', () => {
  const depth = panelQueries.filter(([, expr]) => /resqueue_queue_|resqueue_\w+_list_jobs|resqueue_workers/.test(expr))
  expect(depth.length).toBeGreaterThan(4)
  for (const [title, expr] of depth)
    expect(expr, title).toMatch(/max(?: by \((?:namespace, job(?:, (?:queue|state))?|queue)\))? ?\(/)
})

test('no panel divides by what may be zero', () => {
  const divisions = panelQueries.filter(([, expr]) => expr.includes(' / '))
  expect(divisions.length).toBeGreaterThan(2)
  for (const [title, expr] of divisions)
    expect(expr.slice(expr.indexOf(' / ')), title).toMatch(/^ \/ (?:\(.* > 0\)+|sum\(resqueue_slots\{[^}]*\}\))$/)
})

test('the dashboard tells apart WorkerScalers of one name, and shows those of the chosen namespace alone', () => {
  const targets = panels.flatMap((panel: Yaml) => panel.targets)
  const ofScalers = targets.filter(({ expr }: Yaml) => expr.includes('by (namespace, name'))
  expect(ofScalers.length).toBeGreaterThan(8)
  for (const { expr, legendFormat } of ofScalers) {
    expect(legendFormat, expr).toContain('{{namespace}}/{{name}}')
    expect(expr).toContain('{namespace=~"$namespace",job=~"$job",name=~"$scaler"}')
  }
})

test('the dashboard is laid out without gaps and overlaps, and every panel is explained', () => {
  expect(new Set(dashboard.panels.map((panel: Yaml) => panel.id)).size).toBe(dashboard.panels.length)
  const cells = new Set<string>()
  for (const { title, gridPos, description, type } of dashboard.panels as Yaml[]) {
    expect(gridPos.x + gridPos.w, title).toBeLessThanOrEqual(24)
    if (type !== 'row') expect(description, title).toMatch(/\.$/)
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
        expect(cells.has(`${x},${y}`), `${title} covers another panel`).toBe(false)
        cells.add(`${x},${y}`)
      }
    }
  }
})

test('the dashboard is the one that scripts/render-dashboard.ts writes', () => {
  expect(readFileSync(join(CHART, 'files', 'dashboard.json'), 'utf8')).toBe(dashboardText())
})

test('the dashboard comes as a ConfigMap that its sidecar finds', async ({ helm }) => {
  const out = await helm.render({
    ...REDIS,
    metrics: { dashboard: { enabled: true, annotations: { folder: 'Jobs' } } },
  })
  const map = out.get('ConfigMap', 'rq-resqueue-dashboard')
  expect(map.metadata).toMatchObject({ labels: { grafana_dashboard: '1' }, annotations: { folder: 'Jobs' } })
  expect(JSON.parse(map['data']['resqueue.json'])).toEqual(dashboard)
})

test('the PodMonitor finds workers and controller, and nothing else', async ({ helm }) => {
  const out = await helm.render({
    redis: { trial: { enabled: true } },
    metrics: { podMonitor: { enabled: true, labels: { release: 'prom' } } },
  })
  const monitor = out.get('PodMonitor', 'rq-resqueue')
  expect(monitor.metadata.labels['release']).toBe('prom')
  const { matchLabels, matchExpressions } = monitor.spec.selector
  const matched = out.all('Deployment').filter(({ spec }) => {
    const { labels } = spec.template.metadata
    return (
      Object.entries(matchLabels).every(([key, value]) => labels[key] === value) &&
      matchExpressions.every((one: Yaml) => one.values.includes(labels[one.key]))
    )
  })
  expect(matched.map(({ metadata }) => metadata.name)).toEqual(['rq-resqueue-controller', 'rq-resqueue-default'])
  for (const { spec } of matched)
    expect(spec.template.metadata.annotations ?? {}).not.toHaveProperty(['prometheus.io/scrape'])
})

test('without a PodMonitor annotations lead to the metrics', async ({ helm }) => {
  const out = await helm.render({ ...REDIS })
  for (const { spec } of out.all('Deployment')) {
    expect(spec.template.metadata.annotations).toMatchObject({
      'prometheus.io/scrape': 'true',
      'prometheus.io/port': '9090',
      'prometheus.io/path': '/metrics',
    })
  }
  const none = await helm.render({ ...REDIS, metrics: { annotations: false } })
  expect(none.text).not.toContain('prometheus.io')
})

test('reasons that the runbooks of the controller explain are reasons that it gives', () => {
  const folder = join(ROOT, 'src', 'controller')
  const code = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .map((file) => readFileSync(join(folder, file), 'utf8'))
    .join('\n')
  const explained = ['Held', 'NotReady', 'Limited'].flatMap((name) =>
    [...readFileSync(join(RUNBOOKS, `ResqueueScaler${name}.md`), 'utf8').matchAll(/^- \*\*(`.*?)\*\*/gm)].flatMap(
      ([, list = '']) => [...list.matchAll(/`(\w+)`/g)].map(([, reason = '']) => reason),
    ),
  )
  expect(explained.length).toBeGreaterThan(8)
  expect(explained.filter((reason) => !code.includes(`'${reason}'`))).toEqual([])
})

test('what runbooks look for in logs and failures is what workers write', () => {
  const texts = ['src', 'lua'].flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
      .filter((file) => /\.(ts|lua)$/.test(file))
      .map((file) => readFileSync(join(ROOT, folder, file), 'utf8')),
  )
  const pages = readdirSync(RUNBOOKS).map((file) => readFileSync(join(RUNBOOKS, file), 'utf8'))
  const messages = pages.flatMap((page) => [...page.matchAll(/grep '"msg":"([^'"]+)/g)].map(([, text = '']) => text))
  const errors = pages.flatMap((page) => [...page.matchAll(/--error '([^']+)'/g)].map(([, text = '']) => text))
  expect([messages, errors]).toEqual([['job failed'], ['was lost']])
  for (const text of [...messages, ...errors])
    expect(
      texts.some((code) => code.includes(text)),
      text,
    ).toBe(true)
  // By one result alone, jobs that ran out of time, were killed or are retried would be missed.
  expect(pages.join('\n')).not.toContain('"result":')
})

test('runbooks are listed', () => {
  const index = readFileSync(join(RUNBOOKS, 'README.md'), 'utf8')
  const pages = readdirSync(RUNBOOKS).filter((file) => file.startsWith('Resqueue'))
  expect(pages.filter((file) => !index.includes(`(${file})`))).toEqual([])
  const links = [...index.matchAll(/\]\(([^)]+\.md)\)/g)].map(([, link = '']) => join(RUNBOOKS, link))
  expect(links.filter((link) => !existsSync(link))).toEqual([])
})
