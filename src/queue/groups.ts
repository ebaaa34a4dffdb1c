import type { Session } from './client.ts'
export interface Groups { queues: {}; failed: {}; quarantine: {}; retries: {}; delayed: {}; workers: {}; stats: {}; jobs: {} }
export function groupsOf(_use: () => Promise<Session>): Groups {
  return { queues: {}, failed: {}, quarantine: {}, retries: {}, delayed: {}, workers: {}, stats: {}, jobs: {} }
}
