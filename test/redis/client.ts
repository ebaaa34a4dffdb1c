import { ResQueue, type ResQueueOptions } from '../../src/index.ts'
import { openLane, type Lane } from '../../src/queue/lane.ts'
import { openStore } from '../../src/redis/store.ts'
import type { Proxy } from '../support/proxy.ts'
import { own } from '../support/scope.ts'

/** A client that is closed with the test. */
export function openQueue(redis: string, namespace: string, options: ResQueueOptions = {}): ResQueue {
  const client = new ResQueue({ redis, namespace, ...options })
  own('client', () => client.close())
  return client
}

/** A lane of its own, as each client has one. */
export function openTestLane(url: string, namespace: string): Lane {
  const store = openStore({ url, namespace })
  own('store', () => store.close())
  return openLane(store)
}

/** Lets Redis get every script twice; the client hears the second answer only. */
export function everyScriptTwice(proxy: Proxy): void {
  proxy.on(/^(EVALSHA|EVAL) /, { kind: 'twice' }, Infinity)
}

/** Throws the reply to every script's first sending away, with its connection. */
export function loseEveryFirstReply(proxy: Proxy): void {
  const sent = new Set<string>()
  proxy.on(
    /^(EVALSHA|EVAL) /,
    (request) => {
      const call = Buffer.concat(request.args.slice(2)).toString('latin1')
      if (sent.has(call)) return undefined
      sent.add(call)
      return { kind: 'drop-reply' }
    },
    Infinity,
  )
}
