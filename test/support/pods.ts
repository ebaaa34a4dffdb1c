import type { Pod } from '../../src/controller/pods.ts'

/** A ready pod of the Deployment `w`, as a controller keeps it. */
export function pod(uid: string, more: Partial<Pod> = {}): Pod {
  return {
    uid,
    name: `w-${uid}`,
    namespace: 'default',
    labels: {},
    annotations: {},
    ours: [],
    replicaSet: 'w-1',
    templateHash: '1',
    createdMs: 0,
    phase: 'Running',
    node: 'n',
    ready: true,
    terminating: false,
    scheduledMs: 0,
    unschedulableMs: undefined,
    restarts: 0,
    down: [],
    ...more,
  }
}
