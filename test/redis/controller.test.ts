import type { IncomingMessage, ServerResponse } from 'node:http'
import { text } from 'node:stream/consumers'
import { expect } from 'vitest'
import type { ScalerStatus } from '../../src/controller/api.ts'
import { openConnections } from '../../src/controller/connections.ts'
import { createController, type Controller } from '../../src/controller/controller.ts'
import { silentLogger } from '../../src/log.ts'
import { createControllerTelemetry } from '../../src/telemetry/controllermetrics.ts'
import { startApiServer } from '../support/apiserver.ts'
import { test } from '../support/fixtures.ts'
import { startRedis } from '../support/redis.ts'
import { scalerObject } from '../support/scaler.ts'
import { own } from '../support/scope.ts'
import { latch, waitFor, within } from '../support/wait.ts'

/** Starts a controller at an API server that has one scaler, and answers what else is asked as `answer` does. */
async function startController(
  redis: { readonly url: string; readonly namespace: string },
  scaler: object,
  answer: (path: string, request: IncomingMessage, response: ServerResponse) => unknown,
): Promise<{ readonly stop: () => Promise<string>; readonly metrics: () => Promise<string> }> {
  const metadata = { name: 'mailers', namespace: 'shop', uid: 'u', resourceVersion: '1', generation: 1 }
  const api = await startApiServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://api')
    if (searchParams.has('watch')) return response.flushHeaders()
    if (!pathname.endsWith('/workerscalers')) return void answer(pathname, request, response)
    response.end(JSON.stringify({ metadata: { resourceVersion: '1' }, items: [{ ...scaler, metadata }] }))
  })
  const connections = openConnections(
    { kind: 'single', config: { redis, allowedNamespaces: ['*'], maxRecoveries: 3 } },
    silentLogger,
  )
  own('connections', () => connections.close())
  const telemetry = createControllerTelemetry({
    view: () => controller.view,
    version: '0',
    redisCounts: () => connections.counts,
    processMetrics: false,
  })
  const controller: Controller = createController({
    api,
    connections,
    namespaces: ['shop'],
    name: 'shop/c',
    lease: undefined,
    identity: 'me',
    dryRun: false,
    log: silentLogger,
    metrics: telemetry.scalers,
  })
  const ending = new AbortController()
  const run = controller.run(ending.signal)
  const stop = async (): Promise<string> => {
    ending.abort()
    return within(15_000, run, 'the end of the controller')
  }
  own('controller', stop)
  return { stop, metrics: telemetry.metrics }
}

test('a controller that is told to stop does so at once, also while pods cannot be listed', async ({
  redisUrl,
  ns,
}) => {
  const turn = latch()
  const { stop } = await startController({ url: redisUrl, namespace: ns }, scalerObject(), (path, _, response) => {
    response.statusCode = path.endsWith('/scale') ? 200 : 403
    response.end(JSON.stringify({ metadata: {}, spec: { replicas: 1 }, status: { selector: 'app=w' } }))
    if (path.endsWith('/scale')) turn.open()
  })
  await turn.promise
  expect(await stop()).toBe('stopped')
})

test('a scaler that stays invalid keeps the time since when it is, whoever leads', async ({ redisUrl, ns }) => {
  const lastTransitionTime = '2020-01-01T00:00:00Z'
  const ready = { type: 'Ready', status: 'False', reason: 'InvalidSpec', message: '', lastTransitionTime }
  const written = latch<ScalerStatus>()
  const scaler = { ...scalerObject({ maxReplicas: 0 }), status: { conditions: [ready] } }
  const { stop } = await startController({ url: redisUrl, namespace: ns }, scaler, async (path, request, response) => {
    const body = await text(request)
    if (path.endsWith('/status')) written.open((JSON.parse(body) as { status: ScalerStatus }).status)
    response.end('{}')
  })
  const { conditions } = await written.promise
  expect(conditions?.find(({ type }) => type === 'Ready')).toMatchObject({ status: 'False', lastTransitionTime })
  await stop()
})

test('metrics of a scaler do not stay at what was seen before Redis went away', async () => {
  const redis = await startRedis()
  await redis.client().call('RPUSH', 'resque:queue:mailers', '{"class":"A","args":[]}')
  await redis.client().call('SADD', 'resque:queues', 'mailers')
  const scaler = scalerObject({ pollingIntervalSeconds: 1 })
  const { stop, metrics } = await startController(
    { url: redis.url, namespace: 'resque' },
    scaler,
    (path, _, response) =>
      response.end(
        JSON.stringify(
          path.endsWith('/pods')
            ? { metadata: { resourceVersion: '1' }, items: [] }
            : { metadata: { resourceVersion: '1' }, spec: { replicas: 2 }, status: { selector: 'app=w' } },
        ),
      ),
  )
  const shown = async (): Promise<string[]> =>
    (await metrics()).split('\n').flatMap((line) => /^resqueue_scaler_(\w+)\{/.exec(line)?.[1] ?? [])
  await waitFor(async () => (await shown()).includes('jobs'))
  await redis.stop()
  await waitFor(async () => (await metrics()).includes('reason="RedisUnavailable"} 1'))
  const left = new Set(await shown())
  for (const name of ['jobs', 'latency_seconds', 'desired_replicas', 'demand_replicas', 'arrival_rate'])
    expect(left).not.toContain(name)
  for (const name of ['replicas', 'ready_replicas', 'draining_pods']) expect(left).toContain(name)
  await stop()
})
