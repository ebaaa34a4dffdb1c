import { afterAll, beforeAll, beforeEach, type TestContext } from 'vitest'
import { expectNoStrays } from './leaks.ts'
import { markOffspring, offspring } from './proc.ts'
import { closeScope, openScope } from './scope.ts'

markOffspring()

// Two tests of one name would share a namespace.
beforeAll(({}, file) => {
  const names = new Set<string>()
  const visit = (suite: typeof file): void => {
    for (const task of suite.tasks) {
      if (task.type === 'suite') visit(task)
      else if (names.has(task.fullTestName))
        throw new Error(`Two tests of this file have the name "${task.fullTestName}"`)
      else names.add(task.fullTestName)
    }
  }
  visit(file)
})

// Registered first, so that it runs last, after the test's own hooks and fixtures.
beforeEach(({ onTestFinished }: TestContext) => {
  const before = new Set(offspring().map((p) => p.pid))
  openScope()
  onTestFinished(async () => {
    try {
      await closeScope()
    } finally {
      await expectNoStrays(before)
    }
  }, 60_000)
})

afterAll(async () => {
  await closeScope()
  await expectNoStrays(new Set())
})
