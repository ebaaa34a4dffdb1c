import { existsSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { currentJob, DoNotPerform, type JobContext } from '../../src/worker/job.ts'
import { record } from './record.ts'

function note(job: JobContext, args: readonly unknown[], extra: object = {}): void {
  const { class: name, queue, id, attempt } = job
  record({ class: name, queue, id, attempt, args, pid: process.pid, ...extra })
}

/** The arguments without the context that comes after them. */
function seen(given: readonly unknown[]): unknown[] {
  return given.slice(0, -1)
}

class Ok {
  perform(...given: unknown[]): unknown {
    const args = seen(given)
    note(currentJob(), args)
    return args[0] ?? null
  }
}

class Throw {
  perform(...given: unknown[]): never {
    note(currentJob(), seen(given))
    throw new TypeError('boom é /slash')
  }
}

class Exit {
  perform(...given: unknown[]): never {
    note(currentJob(), seen(given))
    process.exit(3)
  }
}

class ExitZero {
  perform(): never {
    note(currentJob(), [])
    process.exit(0)
  }
}

class Kill {
  async perform(...given: unknown[]): Promise<void> {
    note(currentJob(), seen(given))
    process.kill(process.pid, 'SIGKILL')
    await delay(10_000)
  }
}

/** Runs until the file that its first argument names exists, or its worker wants it to stop. */
class Gate {
  async perform(gate: string, ...given: unknown[]): Promise<string> {
    const { signal } = currentJob()
    note(currentJob(), [gate, ...seen(given)])
    while (!existsSync(gate) && !signal.aborted) await delay(10)
    return 'opened'
  }
}

class Skip {
  perform(): never {
    note(currentJob(), [])
    throw new DoNotPerform('not today')
  }
}

class NoPerform {
  readonly args = []
}

/** Tells everything that the class form is given, in the order in which it is called. */
class Lifecycle {
  declare args: unknown
  declare queue: string
  declare job: JobContext

  setUp(): void {
    this.#step('setUp')
  }

  perform(...given: unknown[]): string {
    this.#step('perform', seen(given))
    return 'result'
  }

  tearDown(): void {
    this.#step('tearDown')
  }

  #step(step: string, args: readonly unknown[] = []): void {
    note(this.job, args, { step, given: this.args, on: this.queue })
    const { fail, skip } = (this.args ?? {}) as { fail?: string; skip?: string }
    if (fail === step) throw new RangeError(`${step} failed`)
    if (skip === step) throw new DoNotPerform()
  }
}

export const jobs: Record<string, unknown> = {
  OkJob: Ok,
  ThrowJob: Throw,
  ExitJob: Exit,
  ExitZero,
  KillJob: Kill,
  SleepJob: Gate,
  Gate,
  Skip,
  Lifecycle,
  'A::B': Ok,
  'A\\B': Ok,
}

export { NoPerform }
