import { perform } from './meter.mjs'

/** The job that ResQueue performs. */
export class Noop {
  perform({ id }) {
    return perform(id)
  }
}
