import { open, type FileHandle } from 'node:fs/promises'
import { DoNotPerform } from 'resqueue/job'

/**
 * The class form, as in php-resque: a new instance for each job, with `args`, `queue` and `job`.
 * `jobName` is the name that producers use, here a PHP class.
 */
export class ImportOrders {
  static readonly jobName = 'App\\Jobs\\ImportOrders'
  static readonly retry = 3
  static readonly timeout = 600

  declare readonly args: { readonly file: string }
  #file: FileHandle | undefined

  async setUp(): Promise<void> {
    if (!this.args.file.endsWith('.csv')) throw new DoNotPerform('nothing to import') // no failure: the job is skipped
    this.#file = await open(this.args.file)
  }

  async perform(): Promise<{ orders: number }> {
    let orders = 0
    for await (const _ of this.#file?.readLines() ?? []) orders++
    return { orders }
  }

  async tearDown(): Promise<void> {
    await this.#file?.close()
  }
}
