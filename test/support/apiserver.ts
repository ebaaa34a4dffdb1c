import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { openApiServer, type ApiServer } from '../../src/controller/apiserver.ts'
import { own } from './scope.ts'

/**
 * An API server that answers as `listener` does, and a client of it. `auth`: a token for each time that the client
 * reads its credentials.
 */
export async function startApiServer(listener: RequestListener, auth: () => string = () => 'me'): Promise<ApiServer> {
  const server = createServer(listener)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  own('server', () => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  const api = openApiServer({
    server: `http://127.0.0.1:${port}`,
    namespace: 'shop',
    auth: async () => ({ headers: { authorization: auth() }, tls: {} }),
  })
  own('client', () => api.close())
  return api
}
