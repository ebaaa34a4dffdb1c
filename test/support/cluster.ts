import { startRedis, type RedisServer } from './redis.ts'
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
  for (const node of nodes.slice(1)) await clients[0]?.call('cluster', 'meet', '127.0.0.1', node.port)
  for (const client of clients) {
    await waitFor(
      async () => {
        const info = String(await client.call('cluster', 'info'))
        return (
          info.includes('cluster_state:ok') &&
          info.includes(`cluster_known_nodes:${SIZE}`) &&
          info.includes(`cluster_size:${SIZE}`)
        )
      },
      { timeoutMs: 30_000, describe: async () => String(await client.call('cluster', 'info')) },
    )
  }
  return { url: `redis-cluster://${nodes.map((n) => `127.0.0.1:${n.port}`).join(',')}`, nodes }
}
