import { defined } from '../defined.ts'
import { ResQueueError } from '../errors.ts'
import type { Moved, MoveOptions } from '../queue/moves.ts'
import { plural } from '../wording.ts'
import { all, dryRun, most } from './options.ts'
import type { Context } from './verb.ts'

/** An action on many things at once. */
export interface Mass {
  /** `Retry`, `Remove`. */
  readonly verb: string
  /** `retried`, `removed`. */
  readonly done: string
  /** `failed job`; `many` where an s does not make the plural. */
  readonly what: string
  readonly many?: string
  /** One thing was named: it is not asked for unless it would be gone for good. */
  readonly named: boolean
  readonly destroys: boolean
  act(options: MoveOptions): Promise<Moved>
}

/**
 * Runs an action with everything that such verbs share: `--dry-run`, the question, progress, Ctrl-C, the count at the
 * end. Exits with 1 where nothing was found.
 */
export async function massAction(context: Context, mass: Mass): Promise<number> {
  const { get, output, signal } = context
  const limited = defined({ limit: get(most) })
  const report = (moved: number, skipped: number, more: object = {}): object => ({
    [mass.done]: moved,
    skipped,
    dry_run: false,
    interrupted: false,
    ...more,
  })
  if (get(dryRun)) {
    const { moved, skipped } = await mass.act({ ...limited, dryRun: true, signal })
    output.done(
      `${plural(moved, mass.what, mass.many)} would be ${mass.done}${leftOut(skipped)}`,
      report(moved, skipped, { dry_run: true }),
    )
    return moved > 0 ? 0 : 1
  }
  let total: number | undefined
  if (mass.destroys || !mass.named) {
    if (process.stdin.isTTY) total = (await mass.act({ ...limited, dryRun: true, signal })).moved
    const target = total === undefined ? (mass.many ?? `${mass.what}s`) : plural(total, mass.what, mass.many)
    if (total !== 0 && !(await context.confirm(`${mass.verb} ${target}`))) return nothing(context)
  }
  const progress = context.progress(capital(mass.done))
  let seen = 0
  try {
    const { moved, skipped } = await mass.act({
      ...limited,
      signal,
      progress: (done) => {
        seen = done
        progress.update(done, total)
      },
    })
    progress.end()
    output.done(`${plural(moved, mass.what, mass.many)} ${mass.done}${leftOut(skipped)}`, report(moved, skipped))
    return moved > 0 ? 0 : 1
  } catch (error) {
    progress.end()
    if (!signal.aborted) {
      if (seen > 0) output.note(`${plural(seen, mass.what, mass.many)} ${mass.done} before this went wrong:`)
      throw error
    }
    output.done(
      `${plural(seen, mass.what, mass.many)} ${mass.done}; interrupted`,
      report(seen, 0, { interrupted: true }),
    )
    return 1
  }
}

/** Acts on one selection after the other, under `options` that are for all of them together. */
export async function inTurn<Selection>(
  selections: readonly Selection[],
  options: MoveOptions,
  act: (selection: Selection, options: MoveOptions, moved: number) => Promise<Moved | number>,
): Promise<Moved> {
  const { limit = Infinity, progress, signal } = options
  let [moved, skipped] = [0, 0]
  for (const selection of selections) {
    if (moved >= limit) break
    signal?.throwIfAborted()
    const before = moved
    const rest = { ...options, limit: limit - before, progress: (done: number) => progress?.(before + done) }
    const one = await act(selection, rest, before)
    moved += typeof one === 'number' ? one : one.moved
    skipped += typeof one === 'number' ? 0 : one.skipped
  }
  return { moved, skipped }
}

/** Where an entry that was named stood in its list. */
export interface Place {
  readonly index: number
  readonly sha: string
}

/**
 * Acts on entries of one list that were named, each once, the oldest first: whatever was moved has shifted the rest.
 */
export async function oldestFirst<Named extends Place>(
  named: readonly Named[],
  options: MoveOptions,
  act: (entry: Named, options: MoveOptions) => Promise<Moved | number>,
): Promise<Moved> {
  const entries = [...new Map(named.map((entry) => [entry.index, entry])).values()].sort((a, b) => a.index - b.index)
  return inTurn(entries, options, (entry, rest, moved) =>
    act(options.dryRun ? entry : { ...entry, index: entry.index - moved }, rest),
  )
}

/** Refuses an action that names nothing. `filters` are the options that would. */
export function demandSelection(context: Context, given: boolean, filters: string): void {
  const everything = context.get(all)
  if (given && everything) throw new ResQueueError('USAGE', '--all and a filter exclude each other')
  if (!given && !everything) throw new ResQueueError('USAGE', `say which: ${filters}, or --all`)
}

/** What is said when a person said no. */
export function nothing({ output }: Context): number {
  output.note('Nothing was changed.')
  return 1
}

function leftOut(skipped: number): string {
  return skipped === 0 ? '' : `; ${plural(skipped, 'entry', 'entries')} left out because no job can be read from them`
}

function capital(word: string): string {
  return word.charAt(0).toUpperCase() + word.slice(1)
}
