import { startLedger, type Ledger } from './ledger.ts'
import { startSender, type Sender } from './sender.ts'
import { launchWorker, startWorkerProcess, type Worker, type WorkerSetup } from './workers.ts'

type More = Omit<Partial<WorkerSetup>, 'redis' | 'ns' | 'ledger'>

/** What tests of whole workers begin with. */
export interface Scenario {
  /** What jobs noted. */
  readonly ledger: Ledger
  readonly sender: Sender
  /** A worker on the namespace, taking jobs. */
  start(more?: More): Promise<Worker>
  /** The same without waiting for it. */
  launch(more?: More): Worker
}

/** A ledger, a sender and workers on one namespace; `common` holds for all workers where they say nothing else. */
export function scenario(redis: string, ns: string, common: More = {}): Scenario {
  const ledger = startLedger()
  const setup = (more: More = {}): WorkerSetup => ({ redis, ns, ledger, ...common, ...more })
  return {
    ledger,
    sender: startSender(redis, ns),
    start: (more) => startWorkerProcess(setup(more)),
    launch: (more) => launchWorker(setup(more)),
  }
}
