import type { Logger } from '../log.ts'
import type { Crew } from './crew.ts'
import type { Leaving } from './leaving.ts'
import type { TurnLoop } from './turns.ts'

export interface FencingOptions {
  readonly log: Logger
  readonly leaving: Leaving
  readonly crew: Crew
  readonly turns: TurnLoop
  /** The registration that Redis no longer knows. */
  nonce(): string
  /** Kills the processes of running jobs. */
  kill(): void
  /** Registers under a new name, which it resolves with. */
  anew(): Promise<string>
}

export interface Fencing {
  /** From the moment at which Redis did not know us until it knows us again. */
  readonly underWay: boolean
  /** Redis does not know us: others may hold our jobs. Kills them, and comes back as somebody new. */
  fence(): void
}

/** What a worker does that was taken for dead. */
export function createFencing({ log, leaving, crew, turns, nonce, kill, anew }: FencingOptions): Fencing {
  let underWay = false

  const comeBack = async (): Promise<void> => {
    kill()
    await crew.interrupt('fenced')
    turns.reset()
    if (leaving.stopping) return
    crew.resetStatistics()
    const process = await anew()
    turns.reset() // a turn that overtook the registration was told that nobody knows us
    log.info({ process }, 'registered again')
  }

  return {
    get underWay() {
      return underWay
    },
    fence: () => {
      if (leaving.begun || underWay) return
      underWay = true
      log.error(
        { process: nonce(), jobs: crew.size },
        'this worker was taken for dead and its jobs were put back; stopping them',
      )
      void comeBack()
        .catch(leaving.fail)
        .finally(() => {
          underWay = false
          turns.wake()
          leaving.settle()
        })
    },
  }
}
