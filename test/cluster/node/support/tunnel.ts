import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { own } from '../../../support/scope.ts'

/**
 * Connections into the node's network, over a Unix socket: the only way in from this machine. The first line of each
 * names the address that it wants, `10.96.0.10:6379`.
 */
export function serveTunnel(path: string): Promise<Server> {
  const server = createServer((near) => {
    near.once('readable', () => {
      const head = near.read() as Buffer | null
      const end = head?.indexOf('\n') ?? -1
      if (head === null || end < 0) return near.destroy()
      const [host = '', port = ''] = head
        .subarray(0, end)
        .toString()
        .split(/:(?=\d+$)/)
      const far = connect(Number(port), host)
      const rest = head.subarray(end + 1)
      if (rest.length > 0) far.write(rest)
      join(near, far)
    })
    near.on('error', () => near.destroy())
  })
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(path, () => resolve(server))
  })
}

/** A port on 127.0.0.1 that leads to `address` in the node's network. It is closed with the test. */
export function openTunnel(path: string, address: string): Promise<number> {
  const sockets = new Set<Socket>()
  const server = createServer((near) => {
    const far = connect(path)
    far.write(`${address}\n`)
    join(near, far)
    sockets.add(near)
    near.once('close', () => sockets.delete(near))
  })
  own(`tunnel to ${address}`, () => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port))
  })
}

function join(one: Socket, other: Socket): void {
  for (const [from, to] of [
    [one, other],
    [other, one],
  ] as const) {
    from.on('error', () => to.destroy())
    from.once('close', () => to.destroy())
    from.pipe(to)
  }
}
