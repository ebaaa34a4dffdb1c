// Writes charts/resqueue/files/dashboard.json, the Grafana dashboard, from the panels in dashboard/.
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Panel, Row } from './dashboard/panel.ts'
import { GLANCE, JOBS, QUEUES } from './dashboard/queues.ts'
import { SCALING, WORKERS } from './dashboard/workers.ts'

const ROWS: readonly Row[] = [GLANCE, QUEUES, JOBS, WORKERS, SCALING]

const DATASOURCE = { type: 'prometheus', uid: '$datasource' }

function variable(name: string, label: string, query: string): object {
  return {
    name,
    label,
    type: 'query',
    datasource: DATASOURCE,
    query: { query, refId: name },
    definition: query,
    includeAll: true,
    allValue: '.*',
    multi: true,
    current: { text: ['All'], value: ['$__all'] },
    refresh: 2,
    sort: 1,
  }
}

function steps({ orange, red }: { orange?: number; red?: number }): object[] {
  return [
    { color: 'green', value: null },
    ...(orange === undefined ? [] : [{ color: 'orange', value: orange }]),
    ...(red === undefined ? [] : [{ color: 'red', value: red }]),
  ]
}

function panelJson(panel: Panel, id: number, gridPos: object): object {
  const { title, about, unit, stat, stacked, max } = panel
  const targets = panel.targets.map(({ expr, legend }, index) => ({
    refId: String.fromCharCode(65 + index),
    datasource: DATASOURCE,
    expr,
    legendFormat: legend || '__auto',
    ...(stat ? { instant: true, range: false } : { range: true }),
  }))
  const common = { id, title, description: about, datasource: DATASOURCE, gridPos, targets }
  if (stat) {
    return {
      ...common,
      type: 'stat',
      fieldConfig: {
        defaults: { unit, noValue: '–', thresholds: { mode: 'absolute', steps: steps(stat) } },
        overrides: [],
      },
      options: {
        colorMode: 'value',
        graphMode: 'none',
        justifyMode: 'auto',
        textMode: 'value',
        reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false },
      },
    }
  }
  return {
    ...common,
    type: 'timeseries',
    fieldConfig: {
      defaults: {
        unit,
        min: 0,
        ...(max === undefined ? {} : { max, decimals: 0 }),
        custom: {
          drawStyle: 'line',
          lineInterpolation: max === undefined ? 'linear' : 'stepAfter',
          lineWidth: 1,
          fillOpacity: stacked ? 40 : 5,
          showPoints: 'never',
          spanNulls: false,
          stacking: { mode: stacked ? 'normal' : 'none', group: 'A' },
        },
      },
      overrides: [],
    },
    options: {
      legend: { displayMode: 'list', placement: 'bottom', showLegend: true, calcs: [] },
      tooltip: { mode: 'multi', sort: 'desc' },
    },
  }
}

/** The dashboard as Grafana reads it. */
export function dashboard(): object {
  const panels: object[] = []
  let y = 0
  let id = 1
  for (const row of ROWS) {
    panels.push({
      id: id++,
      type: 'row',
      title: row.title,
      collapsed: false,
      gridPos: { x: 0, y, w: 24, h: 1 },
      panels: [],
    })
    y += 1
    const perLine = 24 / row.width
    row.panels.forEach((panel, index) => {
      const place = {
        x: (index % perLine) * row.width,
        y: y + Math.floor(index / perLine) * row.height,
        w: row.width,
        h: row.height,
      }
      panels.push(panelJson(panel, id++, place))
    })
    y += Math.ceil(row.panels.length / perLine) * row.height
  }
  return {
    uid: 'resqueue',
    title: 'ResQueue',
    description: 'Queues, jobs, workers and scaling of ResQueue.',
    tags: ['resqueue', 'queue', 'kubernetes'],
    schemaVersion: 39,
    version: 1,
    editable: true,
    graphTooltip: 1,
    refresh: '30s',
    time: { from: 'now-3h', to: 'now' },
    timezone: '',
    templating: {
      list: [
        { name: 'datasource', label: 'Prometheus', type: 'datasource', query: 'prometheus', current: {}, hide: 0 },
        variable(
          'namespace',
          'Namespace',
          'label_values({__name__=~"resqueue_slots|resqueue_scaler_replicas"}, namespace)',
        ),
        variable('job', 'Job', 'label_values(resqueue_build_info, job)'),
        variable('queue', 'Queue', 'label_values(resqueue_queue_jobs{namespace=~"$namespace",job=~"$job"}, queue)'),
        variable(
          'scaler',
          'WorkerScaler',
          'label_values(resqueue_scaler_replicas{namespace=~"$namespace",job=~"$job"}, name)',
        ),
      ],
    },
    annotations: { list: [] },
    panels,
  }
}

/** The text of charts/resqueue/files/dashboard.json. */
export const dashboardText = (): string => `${JSON.stringify(dashboard(), null, 2)}\n`

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(fileURLToPath(new URL('../charts/resqueue/files/dashboard.json', import.meta.url)), dashboardText())
}
