import { expect } from 'vitest'
import { never, waitFor } from '../support/wait.ts'
import { looker, pool, QUICK, rbac, scalerManifest, stage, stageFleet, stageKind, startController } from './scaling.ts'
import type { Cluster, KubeObject } from './support/cluster.ts'
import { test } from './support/fixtures.ts'

interface Role extends KubeObject {
  readonly rules: readonly {
    readonly apiGroups: readonly string[]
    readonly resources: readonly string[]
    readonly verbs: readonly string[]
  }[]
}

/** Grants the controller what the chart grants it, but for these verbs on this resource, which are refused from then on. */
async function grant(cluster: Cluster, namespace: string, resource = '', without: readonly string[] = []) {
  const role = rbac(namespace).find(({ kind }) => kind === 'Role') as Role
  const rules = role.rules.map((rule) =>
    rule.resources.includes(resource) ? { ...rule, verbs: rule.verbs.filter((verb) => !without.includes(verb)) } : rule,
  )
  await cluster.apply([{ ...role, rules }], { namespace })
  // The API server itself learns of a role by a watch.
  const user = `system:serviceaccount:${namespace}:controller`
  const [name, subresource] = resource.split('/')
  const group = role.rules.find(({ resources }) => resources.includes(resource))?.apiGroups[0]
  for (const verb of without) {
    const resourceAttributes = { namespace, verb, group, resource: name, subresource }
    const body = {
      apiVersion: 'authorization.k8s.io/v1',
      kind: 'SubjectAccessReview',
      spec: { user, resourceAttributes },
    }
    await waitFor(
      async () => {
        const path = '/apis/authorization.k8s.io/v1/subjectaccessreviews'
        const reply = await cluster.api.call<{ status?: { allowed?: boolean } }>('POST', path, { body })
        return reply.body.status?.allowed === false
      },
      { describe: `${verb} of ${resource} to be refused` },
    )
  }
}

test('a turn that fails is said in the status, also of a new scaler, and written once', async ({
  scene,
  cluster,
  namespace,
}) => {
  const look = await stageKind(scene)
  const controller = await startController(scene)
  await grant(cluster, namespace, 'deployments/scale', ['update'])
  await cluster.apply([pool(), scalerManifest('s', { ...QUICK, minReplicas: 2 })], { namespace })
  await waitFor(async () => (await look.condition('Ready')) === 'False TurnFailed')
  const { conditions } = await look.status()
  expect(conditions?.find(({ type }) => type === 'Ready')?.message).toMatch(/set the scale.*403/)
  const held = `resqueue_scaler_held{namespace="${namespace}",name="s",reason="TurnFailed"}`
  expect(await controller.metric(held)).toBe(1)
  const path = `/apis/resqueue.dev/v1alpha1/namespaces/${namespace}/workerscalers/s`
  const version = async (): Promise<string> =>
    (await cluster.api.get<{ metadata: { resourceVersion: string } }>(path)).metadata.resourceVersion
  const written = await version()
  await never(4000, async () => (await version()) !== written, 'the status was written again')
  await grant(cluster, namespace)
  await look.reaches(2)
  await waitFor(async () => (await look.condition('Ready')) === 'True Scaling')
  expect(await controller.metric(held)).toBeUndefined()
})

test('pods that cannot be listed are said', async ({ scene, cluster, namespace }) => {
  const look = await stageKind(scene)
  await startController(scene)
  await grant(cluster, namespace, 'pods', ['list'])
  await cluster.apply([pool(), scalerManifest('s', { ...QUICK, minReplicas: 2 })], { namespace })
  await waitFor(async () => (await look.condition('Ready')) === 'False TargetUnavailable')
  expect(await look.replicas()).toBe(0)
  await grant(cluster, namespace)
  // As soon as they are listed: not at the next try, which is half a minute away.
  await look.reaches(2, 'w', 20_000)
})

test('pods that cannot be protected keep nothing from being scaled', async ({ scene, cluster, namespace }) => {
  const spec = { ...QUICK, minReplicas: 3, maxReplicas: 3, protect: ['karpenter'] }
  const { look, fleet, pods } = await stageFleet(scene, pool({ replicas: 3 }), spec)
  const controller = await startController(scene)
  await grant(cluster, namespace, 'pods', ['patch'])
  for (const { metadata } of pods) {
    expect(await fleet.occupy(metadata.uid)).toBe(true)
    await fleet.age(metadata.uid, 61_000)
  }
  const words = 'pods cannot be protected'
  await controller.says(words)
  await look.edit({ minReplicas: 4, maxReplicas: 4 })
  await look.reaches(4)
  expect(await look.condition('Ready')).toBe('True Scaling')
  expect(controller.log.filter(({ msg }) => msg.includes(words))).toHaveLength(1)
})

test('a namespace of the scope that cannot be listed is left out, said once, and served when it can be', async ({
  scene,
  cluster,
  namespace,
}) => {
  const other = await cluster.namespace()
  const look = await stage(scene, pool(), { ...QUICK, minReplicas: 1 })
  const args = ['--namespace-scope', `${namespace},${other}`]
  const controller = await startController(scene, { args })
  await look.reaches(1)
  expect((await controller.get('/readyz')).status).toBe(200)
  // It is tried again several times meanwhile.
  await never(5000, async () => (await controller.get('/readyz')).status !== 200)
  const said = controller.log.filter(({ level, msg }) => level === 'warn' && /watch|listed/.test(msg))
  expect(said).toMatchObject([{ namespace: other, 'error.message': expect.stringContaining('403') }])

  const grants = rbac(namespace).filter(({ kind }) => kind !== 'ServiceAccount')
  await cluster.apply([...grants, pool(), scalerManifest('s', { ...QUICK, minReplicas: 2 })], { namespace: other })
  await looker({ cluster, namespace: other }).reaches(2)
})
