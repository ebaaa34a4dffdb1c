import { FIELD_MANAGER, type KubeObject, type Meta } from './resources.ts'

/** Which pod of a ReplicaSet dies first, where nothing weighs more. Kubernetes reads it as an int32. */
export const COST_ANNOTATION = 'controller.kubernetes.io/pod-deletion-cost'
/** What we write there: far below what people write by hand. */
export const DRAINED_COST = -1_000_000
/** What keeps cluster autoscalers from moving a pod. */
export const PROTECTIONS = {
  karpenter: { name: 'karpenter.sh/do-not-disrupt', value: 'true' },
  clusterAutoscaler: { name: 'cluster-autoscaler.kubernetes.io/safe-to-evict', value: 'false' },
} as const

const KEPT_ANNOTATIONS: readonly string[] = [COST_ANNOTATION, ...Object.values(PROTECTIONS).map(({ name }) => name)]

/** What is kept of a pod. */
export interface Pod {
  readonly uid: string
  readonly name: string
  readonly namespace: string
  readonly labels: Readonly<Record<string, string>>
  /** Of those that we write. */
  readonly annotations: Readonly<Record<string, string>>
  /**
   * Names of the annotations that we wrote, by the API server's record: the same value may come from the pod's
   * template.
   */
  readonly ours: readonly string[]
  /** Name of the ReplicaSet that owns it. */
  readonly replicaSet: string | undefined
  /** `pod-template-hash`: pods of one rollout share it. */
  readonly templateHash: string
  /** Milliseconds since the epoch, by the API server's clock. */
  readonly createdMs: number
  readonly phase: string
  readonly node: string
  readonly ready: boolean
  readonly terminating: boolean
  /** When it was given a node; undefined before. */
  readonly scheduledMs: number | undefined
  /** Since when the scheduler finds no node for it. */
  readonly unschedulableMs: number | undefined
  /** Of its containers, the highest. */
  readonly restarts: number
  /** Containers of it that have ended and do not run again yet. */
  readonly down: readonly string[]
}

interface ContainerStatus {
  readonly name: string
  readonly restartCount?: number
  readonly state?: {
    readonly running?: object
    readonly waiting?: { readonly reason?: string }
    readonly terminated?: object
  }
  readonly lastState?: { readonly terminated?: object }
}

/** A pod as the API server has it, as far as we read it. */
export interface PodObject extends KubeObject {
  readonly metadata: Meta
  readonly spec?: { readonly nodeName?: string }
  readonly status?: {
    readonly phase?: string
    readonly conditions?: readonly {
      readonly type: string
      readonly status: string
      readonly reason?: string
      readonly lastTransitionTime?: string
    }[]
    readonly containerStatuses?: readonly ContainerStatus[]
  }
}

export function podOf({ metadata, spec, status }: PodObject): Pod {
  const condition = (type: string) => status?.conditions?.find((one) => one.type === type)
  const scheduled = condition('PodScheduled')
  const since = scheduled?.lastTransitionTime === undefined ? undefined : Date.parse(scheduled.lastTransitionTime)
  const containers = status?.containerStatuses ?? []
  const annotations: Record<string, string> = {}
  for (const name of KEPT_ANNOTATIONS) {
    const value = metadata.annotations?.[name]
    if (value !== undefined) annotations[name] = value
  }
  return {
    uid: metadata.uid,
    name: metadata.name,
    namespace: metadata.namespace,
    labels: metadata.labels ?? {},
    annotations,
    ours: Object.keys(annotations).filter((name) => isOurs(metadata, name)),
    replicaSet: metadata.ownerReferences?.find(({ kind, controller }) => kind === 'ReplicaSet' && controller)?.name,
    templateHash: metadata.labels?.['pod-template-hash'] ?? '',
    createdMs: Date.parse(metadata.creationTimestamp),
    phase: status?.phase ?? 'Pending',
    node: spec?.nodeName ?? '',
    ready: condition('Ready')?.status === 'True',
    terminating: metadata.deletionTimestamp !== undefined,
    scheduledMs: scheduled?.status === 'True' ? since : undefined,
    unschedulableMs: scheduled?.status === 'False' && scheduled.reason === 'Unschedulable' ? since : undefined,
    restarts: Math.max(0, ...containers.map(({ restartCount }) => restartCount ?? 0)),
    down: containers
      .filter(({ state, lastState }) => state?.terminated !== undefined || (!state?.running && lastState?.terminated))
      .map(({ name }) => name),
  }
}

function isOurs({ managedFields = [] }: Meta, annotation: string): boolean {
  return managedFields.some(
    ({ manager, fieldsV1 }) =>
      manager === FIELD_MANAGER && fieldsV1?.['f:metadata']?.['f:annotations']?.[`f:${annotation}`] !== undefined,
  )
}

/** The Deployment that a pod belongs to: its ReplicaSet is named after it. */
export function deploymentOf(pod: Pod | undefined): string | undefined {
  return pod?.replicaSet?.slice(0, pod.replicaSet.lastIndexOf('-'))
}

/** What Kubernetes makes names of pods from. */
const NAMED_BY_REPLICA_SET = /^(.+)-[bcdfghjklmnpqrstvwxz2456789]{5,10}-[bcdfghjklmnpqrstvwxz2456789]{5}$/

/** Whether a pod of a Deployment may be called so. Long names are cut, and are not recognised. */
export function isNamedAfter(deployment: string, name: string): boolean {
  return NAMED_BY_REPLICA_SET.exec(name)?.[1] === deployment
}

export function isOf(pod: Pod, deployment: string): boolean {
  return deploymentOf(pod) === deployment
}

/** Whether nothing runs in it any more, nor will. */
export function isOver({ phase }: Pod): boolean {
  return phase === 'Succeeded' || phase === 'Failed'
}

/** Whether its ReplicaSet counts it: it neither ended nor is being deleted. */
export function isActive(pod: Pod): boolean {
  return !pod.terminating && !isOver(pod)
}

/** The deletion cost that Kubernetes reads: 0 where none, or nothing that it can read, is written. */
export function costOf({ annotations }: Pod): number {
  const text = annotations[COST_ANNOTATION]
  if (text === undefined || !/^(0|-?[1-9]\d*)$/.test(text)) return 0
  const cost = Number(text)
  return cost >= -(2 ** 31) && cost < 2 ** 31 ? cost : 0
}

export function isDrainedCost(pod: Pod): boolean {
  return pod.annotations[COST_ANNOTATION] === String(DRAINED_COST)
}

/**
 * Where a pod stands in the order in which its ReplicaSet deletes: without a node, pending, not ready, then by cost.
 * What follows (neighbours, age, restarts) is not to be relied on: pods of an equal rank may die in any order.
 */
export function rankOf(pod: Pod): readonly [unassigned: number, phase: number, ready: number, cost: number] {
  const phase = pod.phase === 'Pending' ? 0 : pod.phase === 'Unknown' ? 1 : 2
  return [pod.node === '' ? 0 : 1, phase, pod.ready ? 1 : 0, costOf(pod)]
}

export function compareRanks(a: readonly number[], b: readonly number[]): number {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return (a[i] as number) - (b[i] as number)
  return 0
}

/**
 * How many pods may go, `most` at the most, so that whichever pods the ReplicaSet chooses are among those that may die.
 * Of several pods of one rank it may choose any.
 */
export function safeVictims(pods: readonly Pod[], most: number, mayDie: (pod: Pod) => boolean): number {
  const sorted = [...pods].sort((a, b) => compareRanks(rankOf(a), rankOf(b)))
  let safe = 0
  for (let at = 0; at < sorted.length && safe < most;) {
    const rank = rankOf(sorted[at] as Pod)
    const group = sorted.slice(at).filter((pod) => compareRanks(rankOf(pod), rank) === 0)
    if (!group.every(mayDie)) return safe
    safe += group.length
    at += group.length
  }
  return Math.min(safe, most)
}

/**
 * The pods to drain so that `count` may go: those that would die first anyway, and among equals those that are idle,
 * then those `preferred`, which are being drained already, then those with the least work. Pods of an earlier rank that
 * still work hold back those of a later one: they would die in their place.
 */
export function chooseVictims(
  pods: readonly Pod[],
  count: number,
  work: {
    readonly held: (pod: Pod) => number
    readonly preferred: (pod: Pod) => boolean
    readonly spared: (pod: Pod) => boolean
  },
): readonly Pod[] {
  const withoutOurs = (pod: Pod): readonly number[] => {
    const rank = rankOf(pod)
    return isDrainedCost(pod) ? [rank[0], rank[1], rank[2], 0] : rank
  }
  // Costs that people wrote weigh as they do for the ReplicaSet; ours is what we are about to decide.
  const groupOf = (pod: Pod): readonly number[] => withoutOurs(pod).slice(0, 3)
  // A job may run for hours: its pod is not waited for while another one has nothing to do.
  const isBusy = (pod: Pod): number => Number(work.held(pod) > 0)
  const sorted = [...pods].sort((a, b) => compareRanks(groupOf(a), groupOf(b)))
  const victims: Pod[] = []
  for (let at = 0; at < sorted.length && victims.length < count;) {
    const rank = groupOf(sorted[at] as Pod)
    const group = sorted.slice(at).filter((pod) => compareRanks(groupOf(pod), rank) === 0)
    at += group.length
    const candidates = group
      .filter((pod) => !work.spared(pod))
      .sort(
        (a, b) =>
          isBusy(a) - isBusy(b) ||
          Number(work.preferred(b)) - Number(work.preferred(a)) ||
          work.held(a) - work.held(b) ||
          costOf(a) - costOf(b) ||
          b.createdMs - a.createdMs ||
          (a.uid < b.uid ? -1 : 1),
      )
    victims.push(...candidates.slice(0, count - victims.length))
    if (candidates.length < group.length || group.some((pod) => work.held(pod) > 0)) break
  }
  return victims
}

/** Whether the pods are of more than one rollout: then lowering the scale shrinks all of their ReplicaSets. */
export function inRollout(pods: readonly Pod[]): boolean {
  return new Set(pods.map(({ templateHash }) => templateHash)).size > 1
}

/** Whether labels are those that a selector selects. */
export type LabelTest = (labels: Readonly<Record<string, string>>) => boolean

/** Turns the text form of a label selector, as a scale has it, into a test. Throws on what it cannot read. */
export function parseSelector(text: string): LabelTest {
  const parts = text.split(/,(?![^()]*\))/).filter((part) => part.trim() !== '')
  const tests = parts.map((part): LabelTest => {
    const set = /^\s*(!?)\s*([^\s=!,()]+)\s*(?:(==|=|!=)\s*([^\s,()=!]*)|\s(in|notin)\s*\(([^()]*)\))?\s*$/.exec(part)
    if (!set) throw new Error(`"${part}" is no label selector`)
    const [, not, key = '', operator, value = '', word, list = ''] = set
    const values = new Set(list.split(',').map((one) => one.trim()))
    if (operator === '=' || operator === '==') return (labels) => labels[key] === value
    if (operator === '!=') return (labels) => labels[key] !== value
    if (word === 'in') return (labels) => values.has(labels[key] ?? '\0')
    if (word === 'notin') return (labels) => !values.has(labels[key] ?? '\0')
    return (labels) => key in labels === (not === '')
  })
  return (labels) => tests.every((test) => test(labels))
}
