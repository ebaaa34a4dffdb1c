// Jobs for a first look: the trial's workers perform these where `jobs` is not set.

/** Logs a greeting: `resqueue enqueue demo Hello '{"name":"Ann"}'`. */
export class Hello {
  perform() {
    console.log(`Hello, ${this.args?.name ?? 'world'}`)
  }
}

/** Takes its time, to watch the scaling: `resqueue enqueue demo Sleep '{"seconds":20}'`. */
export class Sleep {
  async perform() {
    await new Promise((resolve) => setTimeout(resolve, (this.args?.seconds ?? 1) * 1000))
  }
}
