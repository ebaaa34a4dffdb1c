import { isObject } from '../json.ts'
import {
  API_VERSION,
  KIND,
  type DepthTarget,
  type LatencyTarget,
  type Problem,
  type Scaler,
  type ScalerSpec,
  type ScalerStatus,
  type ScalingPolicy,
  type ScalingRules,
} from './api.ts'
import { fieldsOf, show, type Fields, type Path } from './fields.ts'

const DAY = 86_400
const MOST_REPLICAS = 1_000_000
/**
 * What the API server calls an object. Names become paths of requests: `../../shop/deployments/web` would be answered
 * for another namespace, with the controller's rights.
 */
const OBJECT_NAME = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/

/** The defaults of fields that may be left out, as the CRD has them. */
export const DEFAULTS = {
  redisName: 'default',
  minReplicas: 0,
  pollingIntervalSeconds: 2,
  cooldownSeconds: 60,
  scaleUpWindowSeconds: 0,
  scaleDownWindowSeconds: 60,
} as const

export type Reading =
  | { readonly ok: true; readonly scaler: Scaler }
  | { readonly ok: false; readonly problems: readonly Problem[]; readonly status: ScalerStatus }

/**
 * Reads a `WorkerScaler`: checks what the CRD checks at admission, and fills the defaults in. Never throws. With
 * `strict`, unknown fields are problems, as in a file that a person wrote; without, they are left alone, as in an
 * object of a newer CRD.
 */
export function readScaler(object: unknown, { strict = false }: { strict?: boolean } = {}): Reading {
  const problems: Problem[] = []
  const root = fieldsOf(object, [], ['apiVersion', 'kind', 'metadata', 'spec', 'status'], problems, strict)
  if (object === undefined || object === null) root.problem(null, `must be a ${KIND}`)
  root.oneOf('apiVersion', [API_VERSION])
  root.oneOf('kind', [KIND])
  const found = root.value('metadata')
  const metadata = isObject(found) ? found : {}
  if (typeof metadata['name'] !== 'string' || metadata['name'] === '')
    problems.push({ path: ['metadata', 'name'], message: 'is required' })
  if (!root.given('spec')) root.problem('spec', 'is required')
  const spec = readSpec(root.child('spec', SPEC_FIELDS), problems, strict)
  const status = readStatus(root.value('status'))
  if (problems.length > 0) return { ok: false, problems, status }
  const text = (name: string): string => (typeof metadata[name] === 'string' ? metadata[name] : '')
  return {
    ok: true,
    scaler: {
      name: text('name'),
      namespace: text('namespace'),
      uid: text('uid'),
      generation: typeof metadata['generation'] === 'number' ? metadata['generation'] : 0,
      creationTimestamp: text('creationTimestamp'),
      spec,
      status,
    },
  }
}

/** `spec.minReplicas: must be …`, for conditions and messages. */
export function problemText({ path, message }: Problem): string {
  const where = path.map((step, i) => (typeof step === 'number' ? `[${step}]` : i === 0 ? step : `.${step}`)).join('')
  return where === '' ? message : `${where}: ${message}`
}

export const SPEC_FIELDS: readonly string[] = [
  'scaleTargetRef',
  'queues',
  'redis',
  'minReplicas',
  'maxReplicas',
  'target',
  'slotsPerReplica',
  'pollingIntervalSeconds',
  'cooldownSeconds',
  'behavior',
  'scaleDown',
  'protect',
  'paused',
]

function readSpec(spec: Fields, problems: Problem[], strict: boolean): ScalerSpec {
  const ref = spec.child('scaleTargetRef', ['apiVersion', 'kind', 'name'])
  if (!spec.given('scaleTargetRef')) spec.problem('scaleTargetRef', 'is required')
  const apiVersion = ref.text('apiVersion', 'apps/v1')
  if (!apiVersion.startsWith('apps/')) ref.problem('apiVersion', `must be apps/v1, not ${show(apiVersion)}`)
  const name = spec.given('scaleTargetRef') ? ref.text('name') : ''
  if (name !== '' && !OBJECT_NAME.test(name)) ref.problem('name', `must be the name of a Deployment, not ${show(name)}`)
  const minReplicas = spec.whole('minReplicas', 0, MOST_REPLICAS, DEFAULTS.minReplicas)
  const maxReplicas = spec.whole('maxReplicas', 1, MOST_REPLICAS)
  if (spec.given('maxReplicas') && minReplicas > maxReplicas) {
    spec.problem('minReplicas', `is ${minReplicas} and more than maxReplicas, ${maxReplicas}`)
  }
  const behavior = spec.child('behavior', ['scaleUp', 'scaleDown'])
  const scaleDown = spec.child('scaleDown', ['drain', 'drainTimeoutSeconds'])
  const rules = (name: string, window: number): ScalingRules =>
    readRules(behavior.child(name, RULE_FIELDS), window, problems, strict)
  return {
    scaleTargetRef: {
      apiVersion,
      kind: ref.oneOf('kind', ['Deployment'], 'Deployment'),
      name,
    },
    queues: readQueues(spec, problems),
    redis: { name: spec.child('redis', ['name']).text('name', DEFAULTS.redisName) },
    minReplicas,
    maxReplicas,
    target: readTarget(spec),
    slotsPerReplica: spec.given('slotsPerReplica') ? spec.whole('slotsPerReplica', 1, 512) : null,
    pollingIntervalSeconds: spec.whole('pollingIntervalSeconds', 1, 3600, DEFAULTS.pollingIntervalSeconds),
    cooldownSeconds: spec.whole('cooldownSeconds', 0, DAY, DEFAULTS.cooldownSeconds),
    behavior: {
      scaleUp: rules('scaleUp', DEFAULTS.scaleUpWindowSeconds),
      scaleDown: rules('scaleDown', DEFAULTS.scaleDownWindowSeconds),
    },
    scaleDown: {
      drain: scaleDown.bool('drain', true),
      drainTimeoutSeconds: scaleDown.whole('drainTimeoutSeconds', 0, 7 * DAY, 0),
    },
    protect: spec.list('protect', (value, path) => {
      if (value === 'karpenter' || value === 'clusterAutoscaler') return value
      problems.push({ path, message: `must be karpenter or clusterAutoscaler, not ${show(value)}` })
      return 'karpenter'
    }),
    paused: spec.bool('paused', false),
  }
}

function readQueues(spec: Fields, problems: Problem[]): readonly string[] {
  const queues = spec.list('queues', (value, path) => {
    // A worker would take it for several queues, while its jobs were looked for in one of this name.
    if (typeof value === 'string' && value.includes(','))
      problems.push({
        path,
        message: `must be one queue, without a comma, not ${show(value)}; give each its own entry`,
      })
    if (typeof value === 'string' && value.trim() !== '' && value !== '!') return value
    problems.push({ path, message: `must be a queue's name, *, a glob or !name, not ${show(value)}` })
    return '*'
  })
  const { length } = queues
  if (!spec.given('queues')) spec.problem('queues', 'is required')
  else if (Array.isArray(spec.value('queues')) && (length < 1 || length > 64)) {
    spec.problem('queues', `must list 1 to 64 queues, not ${length}`)
  }
  return queues
}

function readTarget(spec: Fields): LatencyTarget | DepthTarget {
  const target = spec.child('target', ['latencySeconds', 'latencySecondsByQueue', 'jobsPerReplica'])
  const latency = target.given('latencySeconds')
  const depth = target.given('jobsPerReplica')
  if (latency === depth) {
    spec.problem('target', `needs ${latency ? 'only one' : 'one'} of latencySeconds and jobsPerReplica`)
  }
  const own = target.value('latencySecondsByQueue')
  const names = isObject(own) ? Object.keys(own) : []
  const byQueue = target.child('latencySecondsByQueue', names)
  if (depth) {
    if (names.length > 0) target.problem('latencySecondsByQueue', 'goes with latencySeconds only')
    return { jobsPerReplica: target.whole('jobsPerReplica', 1, 1_000_000_000) }
  }
  return {
    latencySeconds: latency ? target.whole('latencySeconds', 1, DAY) : 30,
    latencySecondsByQueue: Object.fromEntries(names.map((name) => [name, byQueue.whole(name, 1, DAY)])),
  }
}

const RULE_FIELDS: readonly string[] = ['stabilizationWindowSeconds', 'selectPolicy', 'policies', 'tolerance']

function readRules(rules: Fields, window: number, problems: Problem[], strict: boolean): ScalingRules {
  return {
    stabilizationWindowSeconds: rules.whole('stabilizationWindowSeconds', 0, 3600, window),
    selectPolicy: rules.oneOf('selectPolicy', ['Max', 'Min', 'Disabled'], 'Max'),
    policies: rules.list('policies', (value, path) => readPolicy(value, path, problems, strict)),
    tolerance: readTolerance(rules, strict),
  }
}

function readPolicy(value: unknown, path: Path, problems: Problem[], strict: boolean): ScalingPolicy {
  const policy = fieldsOf(value, path, ['type', 'value', 'periodSeconds'], problems, strict)
  return {
    type: policy.oneOf('type', ['Pods', 'Percent']),
    value: policy.whole('value', 1, MOST_REPLICAS),
    periodSeconds: policy.whole('periodSeconds', 1, 1800),
  }
}

/**
 * A quantity, as `autoscaling/v2` has it: "0.05" or "50m". The CRD takes no fraction as a number, and so neither does
 * `strict`.
 */
function readTolerance(rules: Fields, strict: boolean): number | null {
  if (!rules.given('tolerance')) return null
  const value = rules.value('tolerance')
  if (strict && typeof value === 'number' && !Number.isInteger(value)) {
    rules.problem('tolerance', `must be in quotes, "${value}": the API server takes no fraction as a number`)
    return null
  }
  const match = /^(\d+(?:\.\d+)?|\.\d+)(m?)$/.exec(String(value))
  const number = match ? Number(match[1]) / (match[2] === 'm' ? 1000 : 1) : Number.NaN
  if (number >= 0 && number <= 10) return number
  rules.problem('tolerance', `must be a fraction of the replicas such as "0.05" or "50m", not ${show(value)}`)
  return null
}

const STATUS_NUMBERS: ReadonlySet<string> = new Set([
  'observedGeneration',
  'replicas',
  'desiredReplicas',
  'latencySeconds',
  'arrivalRate',
  'serviceSeconds',
  'slotsPerReplica',
])

/** Only what is of the right type: a status is our own, but anybody with the right to may have written it. */
function readStatus(value: unknown): ScalerStatus {
  if (!isObject(value)) return {}
  const kept = Object.entries(value).filter(([name, found]) => {
    if (STATUS_NUMBERS.has(name)) return typeof found === 'number' && Number.isFinite(found)
    if (name === 'conditions')
      return Array.isArray(found) && found.every((one) => isObject(one) && typeof one['type'] === 'string')
    return name === 'lastScaleTime' ? typeof found === 'string' : isObject(found)
  })
  return Object.fromEntries(kept) as ScalerStatus
}
