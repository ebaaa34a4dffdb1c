import { ResQueueError } from '../../errors.ts'

/** Jobs of a trace, in the order of their arrival. */
export interface Trace {
  readonly name: string
  /** Until the end of the last row's second. */
  readonly seconds: number
  /** Seconds since the beginning. */
  readonly arrivedAt: Float64Array
  readonly serviceSeconds: Float64Array
}

const HEADER = 'second,arrivals,service_seconds'
const MOST_JOBS = 20_000_000
const MOST_SECONDS = 31 * 86_400
const MOST_SERVICE_SECONDS = 30 * 86_400
const MOST_PROBLEMS = 5
/** What ten times 0.1 may lack of 1. */
const ROUNDING = 1e-6

interface Row {
  readonly second: number
  readonly arrivals: number
  readonly service: number
}

/**
 * Reads a trace: CSV with the header `second,arrivals,service_seconds`; seconds that are left out have no arrivals,
 * several rows of one second mix their jobs. The arrivals of a second are spread evenly over it. Parts of a job, as an
 * average rate has them, add up to whole ones: of 0.25 in every second comes one in every fourth. Throws `CONFIG`, with
 * the file and the line of what is wrong.
 */
export function readTrace(text: string, name: string): Trace {
  const lines = text.replace(/^\uFEFF/, '').split(/\r?\n/)
  const problems: string[] = []
  const rows: Row[] = []
  const complain = (line: number, what: string): void => void problems.push(`${name}:${line}: ${what}`)
  const header = lines.findIndex((line) => !isBlank(line))
  if (header < 0) complain(1, `the file is empty; its first line must be ${HEADER}`)
  else if ((lines[header] as string).replaceAll(/[\s"]/g, '').toLowerCase() !== HEADER) {
    complain(header + 1, `the first line must be ${HEADER}, not "${short(lines[header] as string)}"`)
  }
  let jobs = 0
  // Parts of jobs that are still to come, by the place of a row in its second: jobs of different rows do not add up.
  const owed: number[] = []
  let place = 0
  for (let i = header + 1; i < lines.length && problems.length < MOST_PROBLEMS && header >= 0; i++) {
    const line = lines[i] as string
    if (isBlank(line)) continue
    const last = rows.at(-1)
    const row = readRow(line, last?.second ?? 0)
    if (typeof row === 'string') {
      complain(i + 1, row)
      continue
    }
    place = row.second === last?.second ? place + 1 : 0
    const due = (owed[place] ?? 0) + row.arrivals
    const arrivals = Math.floor(due + ROUNDING)
    owed[place] = due - arrivals
    rows.push({ ...row, arrivals })
    jobs += arrivals
    if (jobs > MOST_JOBS) complain(i + 1, `there are more than ${MOST_JOBS} jobs; cut the trace`)
  }
  if (problems.length === 0 && jobs === 0)
    complain(header + 1, 'there is no job in the trace; at least one row needs arrivals above 0')
  if (problems.length > 0) throw new ResQueueError('CONFIG', problems.join('; '))
  return spread(rows, jobs, name)
}

function readRow(line: string, last: number): Row | string {
  const cells = line.split(',').map((cell) => cell.trim().replace(/^"(.*)"$/, '$1'))
  if (cells.length !== 3) return `a row has three values (${HEADER}), not ${cells.length}`
  const [second, arrivals, service] = cells.map((cell) =>
    /^\d+(\.\d+)?(e[+-]?\d+)?$/i.test(cell) ? Number(cell) : Number.NaN,
  ) as [number, number, number]
  if (!Number.isInteger(second)) return `second must be a whole number from 0, not "${short(cells[0] as string)}"`
  if (second < last) return `second ${second} comes after ${last}; sort the rows by time`
  if (second > MOST_SECONDS) return `second ${second} is more than 31 days from the beginning; seconds count from 0`
  if (!Number.isFinite(arrivals)) return `arrivals must be a number from 0, not "${short(cells[1] as string)}"`
  if (arrivals === 0) return { second, arrivals, service: 0 }
  if (!(service > 0)) return `service_seconds must be a number above 0, not "${short(cells[2] as string)}"`
  if (service > MOST_SERVICE_SECONDS) return `service_seconds ${short(cells[2] as string)} is more than 30 days`
  return { second, arrivals, service }
}

function spread(rows: readonly Row[], jobs: number, name: string): Trace {
  const arrivedAt = new Float64Array(jobs)
  const serviceSeconds = new Float64Array(jobs)
  let n = 0
  for (let first = 0; first < rows.length;) {
    const { second } = rows[first] as Row
    let end = first
    while (rows[end]?.second === second) end++
    const own = rows.slice(first, end).filter(({ arrivals }) => arrivals > 0)
    const total = own.reduce((sum, { arrivals }) => sum + arrivals, 0)
    const services = own.length > 1 ? mixed(own) : undefined
    for (let i = 0; i < total; i++) {
      arrivedAt[n] = second + i / total
      serviceSeconds[n++] = services?.[i] ?? (own[0] as Row).service
    }
    first = end
  }
  return { name, seconds: (rows.at(-1)?.second ?? 0) + 1, arrivedAt, serviceSeconds }
}

/** The service times of rows of one second, interleaved, each row evenly. */
function mixed(rows: readonly Row[]): readonly number[] {
  const jobs = rows.flatMap(({ arrivals, service }) =>
    Array.from({ length: arrivals }, (_, i) => ({ part: (i + 1) / arrivals, service })),
  )
  return jobs.sort((a, b) => a.part - b.part).map(({ service }) => service)
}

function isBlank(line: string): boolean {
  return line.trim() === '' || line.trimStart().startsWith('#')
}

function short(text: string): string {
  return text.length > 40 ? `${text.slice(0, 39)}…` : text
}
