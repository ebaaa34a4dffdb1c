import { defineConfig } from 'vitest/config'

const SECOND = 1000

/**
 * One project per folder of test/. They run one after the other (`groupOrder`), two files at a time on the two cores of a small
 * machine; those that stop servers and watch the clock one file at a time.
 */
const project = (name: string, order: number, timeoutSeconds: number, maxWorkers: number, more: object = {}) => ({
  extends: true as const,
  test: {
    name,
    include: [`test/${name}/**/*.test.ts`],
    testTimeout: timeoutSeconds * SECOND,
    hookTimeout: timeoutSeconds * SECOND,
    maxWorkers,
    fileParallelism: maxWorkers > 1,
    sequence: { groupOrder: order },
    ...more,
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
      project('unit', 1, 90, 2),
      project('redis', 2, 120, 2),
      project('wire', 3, 120, 2),
      project('process', 4, 120, 2),
      project('faults', 5, 180, 1),
      project('chart', 6, 120, 2),
      // A control plane with fake nodes. Those that stop parts of one start their own; most of the time is waiting.
      project('cluster', 7, 300, 2, {
        exclude: ['test/cluster/node/**'],
        globalSetup: ['test/cluster/support/global.ts'],
      }),
      // A real node that runs real containers: `make test-cluster`.
      project('node', 8, 600, 1, {
        include: ['test/cluster/node/**/*.test.ts'],
        globalSetup: ['test/cluster/node/support/global.ts'],
      }),
    ],
  },
})
