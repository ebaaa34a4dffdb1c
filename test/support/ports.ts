import { createServer } from 'node:net'

/**
 * A loopback port that is free now, and so are the ones at the `also` offsets. Below the range from which the kernel
 * serves outgoing connections, so that a server can be restarted on its port.
 */
export async function freePort(...also: number[]): Promise<number> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const port = 10_000 + Math.floor(Math.random() * 12_000)
    const all = await Promise.all([0, ...also].map((offset) => isFree(port + offset)))
    if (all.every(Boolean)) return port
  }
  throw new Error('No free loopback port between 10000 and 22000')
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}
