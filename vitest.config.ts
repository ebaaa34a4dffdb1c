import { defineConfig } from 'vitest/config'

const SECOND = 1000

/**
 * One project per folder of test/. They run one after the other (`groupOrder`): those that start processes and watch the clock one file at a
 * time, because two cores are all that a small machine has.
 */
const project = (name: string, order: number, timeoutSeconds: number, maxWorkers: number) => ({
  extends: true as const,
  test: {
    name,
    include: [`test/${name}/**/*.test.ts`],
    testTimeout: timeoutSeconds * SECOND,
    hookTimeout: Math.max(30, timeoutSeconds) * SECOND,
    maxWorkers,
    fileParallelism: maxWorkers > 1,
    sequence: { groupOrder: order },
  },
})

export default defineConfig({
  test: {
    pool: 'forks',
    allowOnly: !process.env['CI'],
    setupFiles: ['test/support/setup.ts'],
    globalSetup: ['test/support/global.ts'],
    reporters: ['default', './test/support/reporter.ts'],
    projects: [
      project('unit', 1, 10, 2),
      project('redis', 2, 20, 2),
      project('wire', 3, 30, 1),
      project('process', 4, 60, 1),
      project('faults', 5, 120, 1),
    ],
  },
})
