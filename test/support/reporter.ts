import { writeSync } from 'node:fs'
import type { Reporter, SerializedError, TestCase, TestModule } from 'vitest/node'

/**
 * Ends the output with `N passed, N failed`, alone on the last line. A file that does not load and an error outside any
 * test count as one failure each. Where CI is set a skipped test is a failed one: there everything has to run.
 */
export default class Tally implements Reporter {
  #watching = false

  onInit(vitest: { config: { watch: boolean } }): void {
    this.#watching = vitest.config.watch
  }

  onTestRunEnd(modules: readonly TestModule[], errors: readonly SerializedError[]): void {
    const strict = Boolean(process.env['CI'])
    let passed = 0
    let failed = errors.length
    for (const module of modules) {
      const tests = [...module.children.allTests()]
      const states = tests.map((test) => (strict && isSkipped(test) ? 'failed' : test.result().state))
      passed += states.filter((state) => state === 'passed').length
      const failedHere = states.filter((state) => state === 'failed').length
      failed += failedHere === 0 && module.state() === 'failed' ? 1 : failedHere
      if (strict)
        for (const test of tests.filter(isSkipped))
          console.error(`Skipped, though CI is set: ${module.moduleId} > ${test.fullName}`)
    }
    if (this.#watching) return
    process.once('exit', () => {
      if (failed > 0 || passed === 0) process.exitCode = 1
      writeSync(1, `${passed} passed, ${failed} failed\n`)
    })
  }
}

function isSkipped(test: TestCase): boolean {
  const { state } = test.result()
  return state === 'skipped' || state === 'pending'
}
