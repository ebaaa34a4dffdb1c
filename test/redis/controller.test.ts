import { expect } from 'vitest'
import { openConnections } from '../../src/controller/connections.ts'
import { createController, type Controller } from '../../src/controller/controller.ts'
import { silentLogger } from '../../src/log.ts'
import { createControllerTelemetry } from '../../src/telemetry/controllermetrics.ts'
import { startApiServer } from '../support/apiserver.ts'
import { test } from '../support/fixtures.ts'
import { scalerObject } from '../support/scaler.ts'
import { own } from '../support/scope.ts'
import { latch, within } from '../support/wait.ts'

test('a controller that is told to stop does so at once, also while pods cannot be listed', async ({
  redisUrl,
  ns,
}) => {
  const scaler = { ...scalerObject(), metadata: { name: 'mailers', namespace: 'shop', uid: 'u', resourceVersion: '1' } }
  const turn = latch()
  const api = await startApiServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://api')
    if (searchParams.has('watch')) return response.flushHeaders()
    if (pathname.endsWith('/workerscalers'))
      return void response.end(JSON.stringify({ metadata: { resourceVersion: '1' }, items: [scaler] }))
    if (pathname.endsWith('/scale')) {
      turn.open()
      return void response.end(JSON.stringify({ metadata: {}, spec: { replicas: 1 }, status: { selector: 'app=w' } }))
    }
    response.statusCode = 403
    response.end('{}')
  })
  const redis = { url: redisUrl, namespace: ns }
  const connections = openConnections(
    { kind: 'single', config: { redis, allowedNamespaces: ['*'], maxRecoveries: 3 } },
    silentLogger,
  )
  own('connections', () => connections.close())
  const controller: Controller = createController({
    api,
    connections,
    namespaces: ['shop'],
    name: 'shop/c',
    lease: undefined,
    identity: 'me',
    dryRun: false,
    log: silentLogger,
    metrics: createControllerTelemetry({
      view: () => controller.view,
      version: '0',
      redisCounts: () => connections.counts,
      processMetrics: false,
    }).scalers,
  })
  const stop = new AbortController()
  const run = controller.run(stop.signal)
  await turn.promise
  stop.abort()
  expect(await within(5000, run, 'the end')).toBe('stopped')
})
