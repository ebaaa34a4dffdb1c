import { newNonce, register, type Registration } from '../../src/queue/registry.ts'
import { release } from '../../src/queue/recovery.ts'
import { renew } from '../../src/queue/renew.ts'
import { turn, type End, type Held, type TurnRequest } from '../../src/queue/turn.ts'
import { openStore, type Store } from '../../src/redis/store.ts'
import { job } from '../support/ledger.ts'
import { own } from '../support/scope.ts'
import type { Scene } from './support/fixtures.ts'
import type { Pod } from './support/pod.ts'

/**
 * Workers without processes: for each pod that only pretends to run, its registration, its lease and its turns, made
 * with the functions that workers use. Hundreds fit on a small machine.
 */
export interface FakeFleet {
  /** Registers a worker for every pod that is there and has none; releases those whose pods are gone. */
  follow(): Promise<readonly Pod[]>
  /** Lets a pod take a job that never ends by itself. Answers whether it got one: a drained pod does not. */
  occupy(uid: string): Promise<boolean>
  /** The same with what waits at the head of the queue. */
  take(uid: string): Promise<boolean>
  /** Ends the jobs of a pod. `gone`: Redis knows its worker no more, and nothing is recorded. */
  finish(uid: string): Promise<'ok' | 'gone'>
  /** Makes the jobs of a pod older, by milliseconds. */
  age(uid: string, ms: number): Promise<void>
  /** The container of a pod starts again: what it held goes back, and a new worker registers. */
  restart(uid: string): Promise<void>
  /** The workers of a pod fall silent, as when its machine is lost: they renew nothing and give nothing back. */
  silence(uid: string): void
  readonly busy: ReadonlySet<string>
  /** What Redis answered when a pod last got no job. */
  readonly refusal: string
}

interface Member {
  readonly pod: Pod
  readonly registration: Registration
  held: Held[]
  claims: number
  silent: boolean
}

export interface FleetSetup {
  /** Default `q`. */
  readonly queue?: string
  /** Of each worker; default 1. */
  readonly slots?: number
  /** What the workers have as POD_NAMESPACE; default: the namespace of their pods. */
  readonly podNamespace?: string
}

export function startFakeFleet(scene: Scene, setup: FleetSetup = {}): FakeFleet {
  const { cluster, namespace, redisUrl, ns } = scene
  const { queue = 'q', slots = 1, podNamespace = namespace } = setup
  const store: Store = openStore({ url: redisUrl, namespace: ns })
  const members = new Map<string, Member>()
  let refusal = ''
  const patience = { deadlineMs: 20_000 }
  const beat = setInterval(() => {
    for (const { registration, silent } of members.values()) {
      if (silent) continue
      void renew(store, registration, { drainMark: '', beat: false, statistics: [], look: [] }, patience).catch(
        () => undefined,
      )
    }
  }, 1500)
  own('fake fleet', () => {
    clearInterval(beat)
    store.close()
  })

  const ask = async (uid: string, more: Partial<TurnRequest>): Promise<Awaited<ReturnType<typeof turn>>> => {
    const member = members.get(uid) as Member
    return turn(
      store,
      member.registration,
      {
        ends: [],
        next: 0,
        idle: [],
        ...more,
        base: member.claims + 1,
        queues: [queue],
        wokenBy: '',
        ring: true,
        drainMark: podNamespace === '' ? '' : `${podNamespace}/${uid}`,
        maxRecoveries: 3,
      },
      patience,
    )
  }

  const join = async ({ metadata }: Pod): Promise<void> => {
    const nonce = newNonce()
    const registration: Registration = {
      nonce,
      name: `${metadata.name}.${nonce}`,
      tail: `:1:${queue}`,
      slots,
      instance: `${metadata.uid}/worker`,
      host: metadata.name,
      pid: 1,
      pid_namespace: '',
      boot_id: '',
      pod: metadata.name,
      pod_namespace: podNamespace,
      pod_uid: metadata.uid,
      container: 'worker',
      started: Date.now(),
      version: '0',
      isolation: 'fork',
      lease_ms: 8000,
    }
    await register(store, registration, patience)
    members.set(metadata.uid, { pod: { metadata } as Pod, registration, held: [], claims: 0, silent: false })
  }

  const fleet: FakeFleet = {
    get busy() {
      return new Set([...members].filter(([, { held }]) => held.length > 0).map(([uid]) => uid))
    },
    follow: async () => {
      const { items } = await cluster.api.get<{ items: readonly Pod[] }>(`/api/v1/namespaces/${namespace}/pods`)
      const present = new Set(items.map(({ metadata }) => metadata.uid))
      for (const [uid, { registration, silent }] of members) {
        if (present.has(uid) || silent) continue
        await release(store, registration.nonce, { kind: 'owner' }, 3, patience)
        members.delete(uid)
      }
      for (const pod of items)
        if (!members.has(pod.metadata.uid) && pod.metadata.deletionTimestamp === undefined) await join(pod)
      return items
    },
    get refusal() {
      return refusal
    },
    take: async (uid) => {
      const member = members.get(uid)
      if (!member) return false
      const reply = await ask(uid, { idle: [member.held.length] })
      member.claims++
      const [held] = reply.kind === 'ok' ? reply.held : []
      if (held) member.held.push(held)
      else refusal = JSON.stringify(reply)
      return held !== undefined
    },
    occupy: async (uid) => {
      const one = job(queue, 'Gate', ['never'])
      await store.command('sadd', [store.keys.queues, queue])
      await store.command('rpush', [store.keys.queue(queue), one.raw])
      const took = await fleet.take(uid)
      if (!took) await store.command('lrem', [store.keys.queue(queue), 1, one.raw])
      return took
    },
    finish: async (uid) => {
      const member = members.get(uid)
      const ends = (member?.held ?? []).map(({ slot, claim, queue: from, reservedAt }): End => {
        const common = { slot, claim, queue: from, reservedAt }
        return { ...common, status: '', forget: false, ending: { verb: 'done', result: '' } }
      })
      if (!member || ends.length === 0) return 'ok'
      const { kind } = await ask(uid, { ends })
      member.held = []
      return kind
    },
    age: async (uid, ms) => {
      const member = members.get(uid) as Member
      const key = store.keys.inflight(member.registration.nonce)
      member.held = member.held.map((held) => ({ ...held, reservedAt: held.reservedAt - ms }))
      for (const { slot, reservedAt } of member.held) {
        const record = (await store.command('hget', [key, slot])) as string
        await store.command('hset', [key, slot, record.replace(/ \d+ /, ` ${reservedAt} `)])
      }
    },
    restart: async (uid) => {
      const { pod, registration } = members.get(uid) as Member
      await release(store, registration.nonce, { kind: 'owner' }, 3, patience)
      await join(pod)
    },
    silence: (uid) => {
      const member = members.get(uid) as Member
      member.silent = true
    },
  }
  return fleet
}
