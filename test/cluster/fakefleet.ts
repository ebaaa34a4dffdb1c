import { newNonce, register, type Registration } from '../../src/queue/registry.ts'
import { release } from '../../src/queue/recovery.ts'
import { renew } from '../../src/queue/renew.ts'
import { turn, type End, type Held, type TurnRequest } from '../../src/queue/turn.ts'
import { openStore, type Store } from '../../src/redis/store.ts'
import { job } from '../support/ledger.ts'
import { own } from '../support/scope.ts'
import type { Cluster } from './support/cluster.ts'
import type { Pod } from './support/pod.ts'

/**
 * Workers without processes: for each pod that only pretends to run, its registration, its lease and its turns, made with the
 * functions that workers use. Hundreds fit on a small machine.
 */
export interface FakeFleet {
  /** Registers a worker for every pod that is there and has none; releases those whose pods are gone. */
  follow(): Promise<readonly Pod[]>
  /** Lets a pod take a job that never ends by itself. Answers whether it got one: a drained pod does not. */
  occupy(uid: string): Promise<boolean>
  /** Ends the jobs of a pod. */
  finish(uid: string): Promise<void>
  readonly busy: ReadonlySet<string>
}

interface Member {
  readonly registration: Registration
  held: Held[]
  claims: number
}

export function startFakeFleet(setup: {
  readonly cluster: Cluster
  readonly namespace: string
  readonly redis: string
  readonly ns: string
  readonly queue?: string
  readonly slots?: number
}): FakeFleet {
  const { cluster, namespace, queue = 'q', slots = 1 } = setup
  const store: Store = openStore({ url: setup.redis, namespace: setup.ns })
  const members = new Map<string, Member>()
  const patience = { deadlineMs: 20_000 }
  const beat = setInterval(() => {
    for (const { registration } of members.values()) {
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
        drainMark: `${namespace}/${uid}`,
        maxRecoveries: 3,
      },
      patience,
    )
  }

  const fleet: FakeFleet = {
    get busy() {
      return new Set([...members].filter(([, { held }]) => held.length > 0).map(([uid]) => uid))
    },
    follow: async () => {
      const { items } = await cluster.api.get<{ items: readonly Pod[] }>(`/api/v1/namespaces/${namespace}/pods`)
      const present = new Set(items.map(({ metadata }) => metadata.uid))
      for (const [uid, { registration }] of members) {
        if (present.has(uid)) continue
        await release(store, registration.nonce, { kind: 'owner' }, 3, patience)
        members.delete(uid)
      }
      for (const { metadata } of items) {
        if (members.has(metadata.uid) || metadata.deletionTimestamp !== undefined) continue
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
          pod_namespace: namespace,
          pod_uid: metadata.uid,
          container: 'worker',
          started: Date.now(),
          version: '0',
          isolation: 'fork',
          lease_ms: 8000,
        }
        await register(store, registration, patience)
        members.set(metadata.uid, { registration, held: [], claims: 0 })
      }
      return items
    },
    occupy: async (uid) => {
      const member = members.get(uid) as Member
      const one = job(queue, 'Gate', ['never'])
      await store.command('sadd', [store.keys.queues, queue])
      await store.command('rpush', [store.keys.queue(queue), one.raw])
      const reply = await ask(uid, { idle: [member.held.length] })
      member.claims++
      const [held] = reply.kind === 'ok' ? reply.held : []
      if (held) member.held.push(held)
      else await store.command('lrem', [store.keys.queue(queue), 1, one.raw])
      return held !== undefined
    },
    finish: async (uid) => {
      const member = members.get(uid)
      const ends = (member?.held ?? []).map(({ slot, claim, queue: from, reservedAt }): End => {
        const common = { slot, claim, queue: from, reservedAt }
        return { ...common, status: '', forget: false, ending: { verb: 'done', result: '' } }
      })
      if (!member || ends.length === 0) return
      await ask(uid, { ends })
      member.held = []
    },
  }
  return fleet
}
