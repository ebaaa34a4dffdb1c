import { startRedis, type RedisServer } from './redis.ts'
import { startTlsRedis, type CertificateNames, type TlsRedis } from './tls.ts'
import { waitFor } from './wait.ts'

/** Three primaries that share the slots. All are killed with the test at the latest. */
export interface ClusterSetup {
  /** `redis-cluster://…` */
  readonly url: string
  readonly nodes: readonly RedisServer[]
}

const SLOTS = 16_384
const SIZE = 3

export async function startCluster(): Promise<ClusterSetup> {
  const args = ['--cluster-enabled', 'yes', '--cluster-config-file', 'nodes.conf', '--cluster-node-timeout', '2000']
  const nodes = await Promise.all(Array.from({ length: SIZE }, () => startRedis({ args })))
  const clients = nodes.map((node) => node.client())
  await Promise.all(
    clients.map(async (client, i) => {
      const from = Math.ceil((SLOTS * i) / SIZE)
      const to = Math.ceil((SLOTS * (i + 1)) / SIZE)
      await client.call('cluster', 'set-config-epoch', i + 1)
      await client.call('cluster', 'addslots', ...Array.from({ length: to - from }, (_, n) => from + n))
    }),
  )
  const meet = async (): Promise<void> => {
    for (const node of nodes.slice(1)) await clients[0]?.call('cluster', 'meet', '127.0.0.1', node.port)
  }
  await meet()
  for (const client of clients) {
    await waitFor(
      async () => {
        const info = String(await client.call('cluster', 'info'))
        // A handshake that is not through within the node timeout is forgotten.
        if (!info.includes(`cluster_known_nodes:${SIZE}`)) await meet()
        return (
          info.includes('cluster_state:ok') &&
          info.includes(`cluster_known_nodes:${SIZE}`) &&
          info.includes(`cluster_size:${SIZE}`)
        )
      },
      { describe: async () => String(await client.call('cluster', 'info')) },
    )
  }
  return { url: `redis-cluster://${nodes.map((n) => `127.0.0.1:${n.port}`).join(',')}`, nodes }
}

/** A cluster of one node that speaks TLS only. It gives 127.0.0.1 as its address; `args` may tell it to give a name. */
export async function startTlsCluster(names: CertificateNames, args: readonly string[] = []): Promise<TlsRedis> {
  const cluster = ['--cluster-enabled', 'yes', '--cluster-config-file', 'nodes.conf', '--tls-cluster', 'yes']
  const node = await startTlsRedis({ names, args: [...cluster, '--cluster-announce-ip', '127.0.0.1', ...args] })
  const client = node.server.client({ tls: { rejectUnauthorized: false } })
  await client.call('cluster', 'addslotsrange', 0, SLOTS - 1)
  await waitFor(async () => String(await client.call('cluster', 'info')).includes('cluster_state:ok'), {
    describe: 'the cluster to be whole',
  })
  return node
}

/**
 * Moves the slot of `key` by hand, one key after the other, as redis-cli does: `halfway` runs when about half of the
 * keys are gone. Resolves when every node knows the new owner.
 */
export async function moveSlot(
  { nodes }: ClusterSetup,
  key: string,
  from: RedisServer,
  to: RedisServer,
  halfway: () => Promise<unknown>,
): Promise<void> {
  const [source, target] = [from.client(), to.client()]
  const slot = (await source.call('cluster', 'keyslot', key)) as number
  const [sourceId, targetId] = [await source.call('cluster', 'myid'), await target.call('cluster', 'myid')] as string[]
  await target.call('cluster', 'setslot', slot, 'importing', sourceId as string)
  await source.call('cluster', 'setslot', slot, 'migrating', targetId as string)
  const move = async (most: number): Promise<void> => {
    for (const name of (await source.call('cluster', 'getkeysinslot', slot, most)) as string[]) {
      await source.call('migrate', to.host, to.port, name, 0, 5000)
    }
  }
  await move(Math.ceil(((await source.call('cluster', 'countkeysinslot', slot)) as number) / 2))
  await halfway()
  await move(1000)
  for (const node of [target, source]) await node.call('cluster', 'setslot', slot, 'node', targetId as string)
  await waitFor(
    async () => {
      const known = await Promise.all(nodes.map((node) => node.client().call('cluster', 'nodes')))
      return known.every((text) => ownersOf(String(text), slot).join() === targetId)
    },
    { describe: 'every node to know the new owner' },
  )
}

/** Ids of the nodes that CLUSTER NODES shows with a slot. */
function ownersOf(text: string, slot: number): string[] {
  return text
    .trim()
    .split('\n')
    .map((line) => line.split(' '))
    .filter((fields) =>
      fields.slice(8).some((range) => {
        const [first, last = first] = range.split('-').map(Number)
        return first !== undefined && first <= slot && slot <= (last as number)
      }),
    )
    .map(([id]) => id as string)
}
