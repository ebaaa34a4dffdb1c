import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import { host, logLevel, maxRecoveries, port } from '../config.ts'
import {
  connections,
  controllerGroup,
  kubeconfig,
  kubeContext,
  leaderElect,
  leaseName,
  namespaceScope,
} from '../controloptions.ts'
import { openApiServer } from '../controller/apiserver.ts'
import { openConnections, type ConnectionSource } from '../controller/connections.ts'
import { createController, type Controller } from '../controller/controller.ts'
import { kubeAccess } from '../controller/kube.ts'
import { defined } from '../defined.ts'
import { createLogger } from '../log.ts'
import type { Option } from '../option.ts'
import { createControllerTelemetry } from '../telemetry/controllermetrics.ts'
import { startServer } from '../telemetry/server.ts'
import { VERSION } from '../version.ts'
import { keepHeapSmall } from '../worker/heap.ts'
import { endWithin } from '../worker/linger.ts'
import { codeOf } from './context.ts'
import { dryRun as changeNothing } from './options.ts'
import type { Context, Verb } from './verb.ts'

const dryRun: Option<boolean> = { ...changeNothing, about: 'Write statuses and conditions, but no scale.' }

/** How long what is under way at the end may hold the process. Milliseconds. */
const LINGER_MS = 5000

async function control({ get, config, env }: Context): Promise<number> {
  const log = createLogger({ level: get(logLevel), pretty: process.stdout.isTTY })
  const file = get(connections)
  const source: ConnectionSource =
    file === undefined
      ? { kind: 'single', config: { redis: config, allowedNamespaces: ['*'], maxRecoveries: get(maxRecoveries) } }
      : { kind: 'file', file }
  const redis = openConnections(source, log)
  const access = await kubeAccess({ kubeconfig: get(kubeconfig), context: get(kubeContext), env })
  const api = openApiServer(access)
  const scope = get(namespaceScope)
  const namespaces = scope === 'all' ? undefined : scope.length > 0 ? scope : [access.namespace]
  const identity = `${env['POD_NAME'] ?? hostname()}_${randomBytes(6).toString('hex')}`
  const telemetry = createControllerTelemetry({
    view: () => controller.view,
    version: VERSION,
    redisCounts: () => redis.counts,
  })
  const controller: Controller = createController({
    api,
    connections: redis,
    namespaces,
    name: `${access.namespace}/${get(leaseName)}`,
    lease: get(leaderElect) ? { namespace: access.namespace, name: get(leaseName) } : undefined,
    identity,
    dryRun: get(dryRun),
    log,
    metrics: telemetry.scalers,
  })
  const stop = new AbortController()
  const end = (signal: NodeJS.Signals): void => {
    // Twice: now. The Lease runs out by itself.
    if (stop.signal.aborted) process.exit(codeOf(signal))
    log.info({ signal }, 'stopping')
    stop.abort(new Error(`stopped by ${signal}`))
  }
  process.on('SIGTERM', end).on('SIGINT', end)
  try {
    await using server = await startServer({ port: get(port), host: get(host), telemetry, checks: controller.checks })
    log.info(defined({ port: server.port, host: get(host) }), 'health and metrics are served')
    log.info(
      {
        version: VERSION,
        server: access.server,
        namespaces: namespaces ?? '*',
        identity,
        dryRun: get(dryRun),
      },
      'controller started',
    )
    keepHeapSmall()
    const verdict = await controller.run(stop.signal)
    if (verdict === 'stopped') return 0
    // Another leads by now, or soon: begin anew with nothing that was thought true before.
    log.error({ identity }, 'leadership was lost; the process exits so that Kubernetes restarts it')
    return 1
  } finally {
    process.off('SIGTERM', end).off('SIGINT', end)
    redis.close()
    api.close()
    endWithin(LINGER_MS)
  }
}

export const verbs: readonly Verb[] = [
  {
    name: '',
    summary: 'run the controller that scales workers on Kubernetes',
    operands: '',
    count: [0, 0],
    about:
      'Watches WorkerScaler objects and scales the Deployments they point at. Serves /livez, /readyz and /metrics on --port.',
    examples: [
      'control',
      "control --namespace-scope '*' --connections /etc/resqueue/connections.yaml",
      'control --kubeconfig ~/.kube/config --namespace-scope staging --dry-run --port 0',
    ],
    options: [...controllerGroup.options, dryRun, maxRecoveries, port, host, logLevel],
    redis: true,
    run: control,
  },
]
