import { expect } from 'vitest'
import { waitFor } from '../../support/wait.ts'
import { CHART, objectsOf } from '../releases.ts'
import { test } from './support/fixtures.ts'

/** `name:tag` as the chart takes it; the image is on the node already. */
function imageValues(name: string): Record<string, string> {
  const colon = name.lastIndexOf(':')
  return { repository: name.slice(0, colon), tag: name.slice(colon + 1), pullPolicy: 'Never' }
}

test(
  'a first look: helm install, scaled to zero, helm test from zero, a demo job, helm uninstall',
  {
    timeout: 300_000,
  },
  async ({ cluster, images, namespace }) => {
    const helm = async (...args: string[]): Promise<string> => {
      const { code, stdout, stderr } = await cluster.run('helm', args, { timeoutMs: 180_000, input })
      if (code !== 0) throw new Error(`helm ${args.join(' ')}: ${stdout}${stderr}`)
      return stdout
    }
    const scaling = { enabled: true, cooldownSeconds: 5, behavior: { scaleDown: { stabilizationWindowSeconds: 5 } } }
    const input = JSON.stringify({
      image: imageValues(images.resqueue.name),
      redis: { trial: { enabled: true, image: { registry: '', ...imageValues(images.redis.name) } } },
      workers: { default: { concurrency: 2, scaling } },
      networkPolicy: { enabled: true },
    })
    const k = (...args: string[]): Promise<string> => cluster.kubectl('-n', namespace, ...args)
    const notes = await helm(
      'install',
      'rq',
      CHART,
      '--namespace',
      namespace,
      '--values',
      '-',
      '--wait',
      '--timeout',
      '120s',
    )
    expect(notes).toContain(`helm test rq -n ${namespace}`)
    const replicas = async (): Promise<string> =>
      k('get', 'deploy', 'rq-resqueue-default', '-o', 'jsonpath={.spec.replicas}')
    await waitFor(async () => (await replicas()) === '0', {
      timeoutMs: 90_000,
      everyMs: 500,
      describe: () => k('describe', 'workerscaler', 'rq-resqueue-default'),
    })

    const log = await helm('test', 'rq', '--namespace', namespace, '--logs', '--timeout', '120s')
    expect(log).toContain('performed')
    expect(log).toMatch(/Phase:\s+Succeeded/)

    // As the notes say it: from the controller's pod, which knows where Redis is.
    const inside = (...args: string[]): Promise<string> =>
      k('exec', 'deploy/rq-resqueue-controller', '--', 'resqueue', ...args)
    const id = (await inside('enqueue', 'demo', 'Hello', '{"name":"Ann"}', '--track')).trim()
    await waitFor(async () => (await inside('job', 'show', id)).includes('complete'), {
      everyMs: 500,
      describe: () => inside('job', 'show', id),
    })
    expect(await inside('scaler', 'explain', 'rq-resqueue-default')).toContain('rq-resqueue-default')
    expect(JSON.parse(await inside('stats', '-o', 'json'))).toMatchObject({ failed: 0, quarantined_jobs: 0 })

    await helm('uninstall', 'rq', '--namespace', namespace, '--wait', '--timeout', '90s')
    await waitFor(async () => (await objectsOf(cluster, 'rq', namespace)).length === 0, {
      describe: () => objectsOf(cluster, 'rq', namespace),
    })
    const left = await k('get', 'all,cm,secret,role,rolebinding,netpol,pdb,lease', '-o', 'name')
    expect(left.split('\n').filter((one) => one !== '' && one !== 'configmap/kube-root-ca.crt')).toEqual([
      'lease.coordination.k8s.io/rq-resqueue-controller',
    ])
  },
)
