import { readFileSync, statSync } from 'node:fs'
import type { Redis } from 'ioredis'
import { expect } from 'vitest'
import { openClient } from '../../support/redis.ts'
import { waitFor } from '../../support/wait.ts'
import type { Pod } from '../support/pod.ts'
import { imageWithJobs } from '../tools/images.ts'
import { test as base } from './support/fixtures.ts'
import { pod, service } from './support/objects.ts'

const JOBS = new URL('./jobs', import.meta.url).pathname
const NS = 'resque'

interface Place {
  /** The Redis of the test's namespace, from this machine. */
  readonly redis: Redis
  /** Starts a worker with the image that has the jobs, and waits until it is ready to work. */
  worker(name: string, flags: readonly string[], more?: { memory?: string; graceSeconds?: number }): Promise<void>
  enqueue(job: string, ...args: readonly unknown[]): Promise<string>
  /** Lines of a pod's log that are JSON and have that message. */
  said(name: string, message: string): Promise<readonly Readonly<Record<string, unknown>>[]>
  /** Runs a command in the pod. */
  inside(name: string, ...command: readonly string[]): Promise<string>
  status(name: string): Promise<Pod>
}

const test = base.extend<{ place: Place }>({
  place: async ({ cluster, images, namespace }, use) => {
    const jobs = imageWithJobs(JOBS)
    cluster.load(jobs)
    await cluster.apply(
      [pod({ name: 'redis', image: images.redis.name, user: 999, writable: '/data' }), service('redis', 6379)],
      {
        namespace,
      },
    )
    const ready = (name: string): Promise<string> =>
      cluster.kubectl('-n', namespace, 'wait', '--for=condition=Ready', `pod/${name}`, '--timeout=60s')
    await ready('redis')
    const port = await cluster.forward({ namespace, service: 'redis', port: 6379 })
    const redis = openClient(`redis://127.0.0.1:${port}`)
    await use({
      redis,
      async worker(name, flags, more = {}) {
        const where = ['--redis', 'redis://redis:6379', '--namespace', NS, '--queues', 'q', '--jobs', '/app/jobs']
        await cluster.apply([pod({ name, image: jobs.name, args: ['work', ...where, ...flags], ...more })], {
          namespace,
        })
        await ready(name)
        await waitFor(async () => (await redis.smembers(`${NS}:workers`)).some((id) => id.startsWith(`${name}.`)), {
          describe: async () => `${name}: ${(await cluster.run('kubectl', ['-n', namespace, 'logs', name])).stdout}`,
        })
      },
      async enqueue(job, ...args) {
        const payload = JSON.stringify({ class: job, args, id: `${job}-${args.join('-')}` })
        await redis.rpush(`${NS}:queue:q`, payload)
        await redis.sadd(`${NS}:queues`, 'q')
        return payload
      },
      async said(name, message) {
        const { stdout } = await cluster.run('kubectl', ['-n', namespace, 'logs', name])
        const lines = stdout.split('\n').filter((line) => line.startsWith('{'))
        return lines.map((line) => JSON.parse(line) as Record<string, unknown>).filter(({ msg }) => msg === message)
      },
      inside: (name, ...command) => cluster.kubectl('-n', namespace, 'exec', name, '--', ...command),
      status: (name) => cluster.api.get<Pod>(`/api/v1/namespaces/${namespace}/pods/${name}`),
    })
  },
})

const processed = async (redis: Redis): Promise<number> => Number(await redis.get(`${NS}:stat:processed`))
const failures = async (redis: Redis): Promise<readonly Record<string, unknown>[]> =>
  (await redis.lrange(`${NS}:failed`, 0, -1)).map((text) => JSON.parse(text) as Record<string, unknown>)

test('the image has no compiler, no npm, and nothing that its user may change', async ({ images, place }) => {
  await place.worker('worker', [])
  const inside = (script: string): Promise<string> => place.inside('worker', 'sh', '-c', script)
  const unwanted = ['npm', 'npx', 'corepack', 'yarn', 'gcc', 'cc', 'g++', 'make', 'python3', 'curl', 'wget']
  expect(await inside(`for p in ${unwanted.join(' ')}; do command -v $p; done; true`)).toBe('')
  expect(await inside('id -u')).toBe('65532\n')
  expect(
    await inside('for d in / /app /opt/resqueue /usr/local/bin; do touch $d/x 2>/dev/null && echo $d; done; true'),
  ).toBe('')
  // Nothing in it belongs to the user, so that it is as safe where the root file system can be written.
  expect(
    await inside(
      'find / -xdev -user 65532 -not -path "/proc/*" -not -path "/tmp*" -not -path "/dev/*" 2>/dev/null || true',
    ),
  ).toBe('')
  expect(JSON.parse(await inside('resqueue version -o json'))).toMatchObject({ node: process.versions.node })
  const size = async (what: string): Promise<number> => Number(await inside(`du -sxm ${what} 2>/dev/null | cut -f1`))
  const ours = await size('/opt/resqueue')
  const archive = Math.round(statSync(images.resqueue.tar).size / 1e6)
  console.log(`The image: ${await size('/')} MB of files, of them ${ours} MB ours; ${archive} MB as an archive`)
  expect(ours).toBeLessThan(80)
})

test('every job runs in a fork of its own, under a user that is not root', async ({ place }) => {
  await place.worker('worker', ['--isolation', 'fork'])
  for (let index = 0; index < 3; index++) await place.enqueue('Where')
  await waitFor(async () => (await processed(place.redis)) === 3)
  const said = await waitFor(async () => {
    const lines = await place.said('worker', 'where')
    return lines.length === 3 && lines
  })
  expect(said.map(({ uid }) => uid)).toEqual([65532, 65532, 65532])
  expect(new Set(said.map(({ pid }) => pid)).size).toBe(3)
  // All forked by one process that had loaded the jobs.
  expect(new Set(said.map(({ parent }) => parent)).size).toBe(1)
})

test('a job over its memory limit is recorded as its failure, and the worker goes on', async ({ place }) => {
  await place.worker('worker', ['--job-memory', '96Mi'], { memory: '400Mi' })
  await place.enqueue('Hog')
  await place.enqueue('Note', 1)
  await waitFor(async () => (await processed(place.redis)) === 2)
  const [failure, ...others] = await failures(place.redis)
  expect(others).toEqual([])
  expect(failure).toMatchObject({ exception: 'OutOfMemory', queue: 'q' })
  expect((await place.status('worker')).status?.containerStatuses?.[0]?.restartCount).toBe(0)
})

test('nothing is lost when the limit of the container is hit', async ({ place }) => {
  await place.worker('worker', ['--concurrency', '2', '--max-recoveries', '1'], { memory: '256Mi' })
  await place.enqueue('Hog')
  for (let index = 0; index < 10; index++) await place.enqueue('Note', 50 + index)
  // The kernel kills the job's process, or with cgroup v2 all of the container's: then the jobs come back.
  await waitFor(async () => (await failures(place.redis)).length === 1, { timeoutMs: 120_000 })
  await waitFor(async () => (await processed(place.redis)) >= 11, {
    describe: async () => [await processed(place.redis), await failures(place.redis)],
  })
  expect((await failures(place.redis))[0]).toMatchObject({ payload: { class: 'Hog' } })
  expect(await place.redis.llen(`${NS}:queue:q`)).toBe(0)
})

test('what jobs leave behind is reaped', async ({ cluster, place }) => {
  await place.worker('worker', ['--isolation', 'fork'])
  for (let index = 0; index < 5; index++) await place.enqueue('Orphan')
  await waitFor(async () => (await processed(place.redis)) === 5)
  const container = (await place.status('worker')).status?.containerStatuses?.[0]?.containerID ?? ''
  const first = cluster.containerProcesses(container)[0]
  expect(readFileSync(`/proc/${first?.pid}/cmdline`, 'utf8')).toMatch(/^tini\0/)
  const states = (): Promise<string> => place.inside('worker', 'sh', '-c', 'cat /proc/[0-9]*/stat')
  await waitFor(async () => !(await states()).includes('(sleep)'))
  expect(await states()).not.toMatch(/^\d+ \(.*\) Z /m)
})

test('on TERM a job may end in time, and one that does not is put back', async ({ cluster, namespace, place }) => {
  const flags = ['--concurrency', '2', '--shutdown-timeout', '4s', '--kill-delay', '1s']
  await place.worker('worker', flags, { graceSeconds: 15 })
  await place.enqueue('Note', 2000)
  const endless = await place.enqueue('Endless')
  await waitFor(
    async () =>
      (await place.said('worker', 'note')).length === 1 && (await place.said('worker', 'endless')).length === 1,
  )
  await cluster.kubectl('-n', namespace, 'delete', 'pod', 'worker', '--timeout=30s')
  expect(await processed(place.redis)).toBe(1)
  expect(await failures(place.redis)).toEqual([])
  expect(await place.redis.lrange(`${NS}:queue:q`, 0, -1)).toEqual([endless])
  expect(await place.redis.smembers(`${NS}:workers`)).toEqual([])
})
