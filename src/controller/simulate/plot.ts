import { count, plural } from '../../wording.ts'
import { axisLabel, clock, escapeXml, linear, logarithmic, niceTicks, path, type Point, type Scale } from './svg.ts'
import { targetOf, type Answer, type Question } from './simulate.ts'
import type { Sample } from './run.ts'

const WIDTH = 1120
const LEFT = 66
const RIGHT = 34
const PANEL = 150
const GAP = 46
const TOP = 144
const COLUMNS = WIDTH - LEFT - RIGHT
/** What follows a trace is shown for half of its length, and for so long where the trace is short. Seconds. */
const AFTERMATH_SECONDS = 900

/** Ours stands out; KEDA and the HPA have a colour each, tuned ones a full line. */
const STYLES: Readonly<Record<string, { colour: string; width: number; dash: string }>> = {
  resqueue: { colour: '#1d4ed8', width: 2.4, dash: '' },
  'keda-default': { colour: '#e8862e', width: 1.3, dash: '5 3' },
  'keda-tuned': { colour: '#c2570c', width: 1.5, dash: '' },
  'hpa-default': { colour: '#6fa889', width: 1.3, dash: '5 3' },
  'hpa-tuned': { colour: '#2e7d5b', width: 1.5, dash: '' },
}

interface Panel {
  readonly title: string
  readonly scale: (most: number) => Scale
  readonly most: number
  readonly of: (sample: Sample) => number
  /** Replicas stay as they are until they change. */
  readonly isStep: boolean
  readonly line?: { readonly at: number; readonly label: string }
}

/** A picture of what the models did with a trace, as SVG: arrivals, backlog, wait and replicas over time. */
export function plot(question: Question, answers: readonly Answer[], title: string): string {
  const { trace, spec } = question
  const longest = trace.seconds + Math.max(trace.seconds / 2, AFTERMATH_SECONDS)
  const seconds = Math.max(trace.seconds, ...answers.map(({ run }) => Math.min(run.seconds, longest)))
  const x = linear(seconds)
  const top = (of: (sample: Sample) => number): number =>
    answers.reduce((most, { run }) => run.samples.reduce((high, one) => Math.max(high, of(one)), most), 0)
  const target = targetOf(spec).seconds
  const panels: readonly Panel[] = [
    {
      title: 'Jobs waiting',
      scale: logarithmic,
      most: top(({ waiting }) => waiting),
      of: ({ waiting }) => waiting,
      isStep: false,
    },
    {
      title: 'Wait of the job at the head, seconds',
      scale: logarithmic,
      most: Math.max(
        target * 1.5,
        top(({ wait }) => wait),
      ),
      of: ({ wait }) => wait,
      isStep: false,
      line: { at: target, label: `target ${target} s` },
    },
    {
      title: 'Replicas',
      scale: wholeScale,
      most: top(({ replicas }) => replicas),
      of: ({ replicas }) => replicas,
      isStep: true,
    },
  ]
  const height = TOP + 4 * PANEL + 3 * GAP + 44
  const body = [
    arrivals(question, x),
    ...panels.map((panel, i) => draw(panel, answers, x, TOP + (i + 1) * (PANEL + GAP))),
    timeAxis(x, seconds, TOP + 4 * PANEL + 3 * GAP),
  ]
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" font-family="system-ui, 'Helvetica Neue', Arial, sans-serif" font-size="12" fill="#1f2937">`,
    `<title>${escapeXml(`${title}: what each autoscaler did`)}</title>`,
    `<rect width="100%" height="100%" fill="#ffffff"/>`,
    `<text x="${LEFT}" y="32" font-size="19" font-weight="600">${escapeXml(title)}</text>`,
    `<text x="${LEFT}" y="52" fill="#6b7280">${escapeXml(subtitle(question, target))}</text>`,
    legend(answers),
    ...body,
    '</svg>',
    '',
  ].join('\n')
}

function subtitle({ trace, spec, slots, podStartSeconds }: Question, target: number): string {
  return `${plural(trace.arrivedAt.length, 'job')} · target ${target} s · ${plural(slots, 'slot')} a pod · ${podStartSeconds} s until a pod works · ${spec.minReplicas} to ${spec.maxReplicas} replicas`
}

/** Names with their figures, in two rows. */
function legend(answers: readonly Answer[]): string {
  const column = COLUMNS / 3
  return answers
    .map(({ report }, i) => {
      const { colour, width, dash } = styleOf(report.model)
      const left = LEFT + (i % 3) * column
      const y = 78 + Math.floor(i / 3) * 22
      const depth = report.depthTarget === undefined ? '' : ` (${report.depthTarget})`
      const share = (Math.floor(report.startedWithinTarget * 1000) / 10).toFixed(1)
      const figures = `${share} % in time, ${count(Math.round(report.podMinutes))} pod min`
      return [
        `<line x1="${left}" y1="${y - 4}" x2="${left + 26}" y2="${y - 4}" stroke="${colour}" stroke-width="${width}" stroke-dasharray="${dash}"/>`,
        `<text x="${left + 34}" y="${y}"><tspan font-weight="600">${escapeXml(report.model)}</tspan>${escapeXml(depth)} <tspan fill="#6b7280">${figures}</tspan></text>`,
      ].join('')
    })
    .join('\n')
}

/** Filled, because it is the same for all models. */
function arrivals({ trace }: Question, x: Scale): string {
  const counts = new Float64Array(COLUMNS + 1)
  const perColumn = x.most / COLUMNS
  for (const at of trace.arrivedAt) counts[Math.floor(at / perColumn)] = (counts[Math.floor(at / perColumn)] ?? 0) + 1
  // At least a second is looked at: a finer rate would be noise.
  const width = Math.max(1, Math.ceil(1 / perColumn))
  const rates = Array.from({ length: COLUMNS }, (_, i) => {
    let sum = 0
    for (let k = Math.max(0, i - width + 1); k <= i; k++) sum += counts[k] as number
    return sum / (width * perColumn)
  })
  const scale = niceScale(Math.max(...rates))
  const y = (value: number): number => TOP + PANEL - scale.to(value) * PANEL
  const points = rates.map((rate, i): Point => [LEFT + i, y(rate)])
  const area = `${path([[LEFT, y(0)], ...points, [LEFT + COLUMNS - 1, y(0)]])}Z`
  return (
    frame('Arrivals, jobs per second', scale, TOP) +
    `<path d="${area}" fill="#9ca3af" fill-opacity="0.45" stroke="#6b7280" stroke-width="0.8"/>`
  )
}

function draw(panel: Panel, answers: readonly Answer[], x: Scale, top: number): string {
  const scale = panel.scale(panel.most)
  const y = (value: number): number => top + PANEL - scale.to(value) * PANEL
  // Ours last, on top of the others.
  const lines = [...answers].reverse().map(({ run, report }) => {
    const { colour, width, dash } = styleOf(report.model)
    const points = columns(run.samples, x, panel.of).map(([at, value]): Point => [at, y(value)])
    const d = path(panel.isStep ? steps(points) : points)
    return `<path d="${d}" fill="none" stroke="${colour}" stroke-width="${width}" stroke-dasharray="${dash}" stroke-linejoin="round"/>`
  })
  const mark = panel.line
    ? `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y(panel.line.at)}" y2="${y(panel.line.at)}" stroke="#b91c1c" stroke-dasharray="2 3"/>` +
      `<text x="${WIDTH - RIGHT}" y="${y(panel.line.at) - 5}" text-anchor="end" fill="#b91c1c" stroke="#ffffff" stroke-width="3" paint-order="stroke">${panel.line.label}</text>`
    : ''
  return frame(panel.title, scale, top) + lines.join('\n') + mark
}

/** One point per column of the picture: the highest, because what matters are the peaks; and the last one as it was. */
function columns(samples: readonly Sample[], x: Scale, of: (sample: Sample) => number): readonly Point[] {
  const points: [number, number][] = []
  for (const sample of samples) {
    if (sample.at > x.most) break
    const at = Math.round(LEFT + x.to(sample.at) * COLUMNS)
    const value = of(sample)
    const last = points.at(-1)
    if (last?.[0] !== at || sample === samples.at(-1)) points.push([at, value])
    else last[1] = Math.max(last[1], value)
  }
  return points
}

function steps(points: readonly Point[]): readonly Point[] {
  return points.flatMap(([at, value], i): Point[] => {
    const before = points[i - 1]
    return before === undefined || before[1] === value
      ? [[at, value]]
      : [
          [at, before[1]],
          [at, value],
        ]
  })
}

/** Title, grid and numbers of a panel. */
function frame(title: string, scale: Scale, top: number): string {
  const grid = scale.ticks.map((tick) => {
    const y = (top + PANEL - scale.to(tick) * PANEL).toFixed(1)
    return (
      `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y}" y2="${y}" stroke="${tick === 0 ? '#9ca3af' : '#e5e7eb'}"/>` +
      `<text x="${LEFT - 8}" y="${Number(y) + 4}" text-anchor="end" fill="#6b7280">${axisLabel(tick)}</text>`
    )
  })
  return `<text x="${LEFT}" y="${top - 12}" font-weight="600">${escapeXml(title)}</text>${grid.join('')}\n`
}

function timeAxis(x: Scale, seconds: number, y: number): string {
  const ticks = niceTicks(
    seconds,
    10,
    [1, 5, 10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400, 172_800],
  )
  return ticks
    .map((tick) => {
      const at = (LEFT + x.to(tick) * COLUMNS).toFixed(1)
      return `<text x="${at}" y="${y + 20}" text-anchor="middle" fill="#6b7280">${clock(tick)}</text>`
    })
    .join('')
}

function niceScale(most: number): Scale {
  return linear(Math.max(most, 1) * 1.05)
}

function wholeScale(most: number): Scale {
  const scale = niceScale(most)
  return { ...scale, ticks: scale.ticks.filter((tick) => Number.isInteger(tick)) }
}

function styleOf(model: string): { colour: string; width: number; dash: string } {
  return STYLES[model] ?? { colour: '#6b7280', width: 1.3, dash: '' }
}
