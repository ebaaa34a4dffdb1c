import { test } from '../support/fixtures.ts'
import { job, startLedger } from '../support/ledger.ts'
import { startSender } from '../support/sender.ts'
import { startWorkerProcess } from '../support/workers.ts'
import { setTimeout as delay } from 'node:timers/promises'
test('x', async ({ redis, redisUrl, ns }) => {
  const ledger = startLedger()
  const sender = startSender(redisUrl, ns)
  const start = () => startWorkerProcess({ redis: redisUrl, ns, ledger, concurrency: 2, args: ['--log-level', 'debug'] })
  const victim = await start()
  const running = [job('q', 'Gate', [ledger.gate]), job('q', 'Gate', [ledger.gate])]
  await sender.send(...running)
  for (const { id } of running) await ledger.sees('start', id)
  const heir = await start()
  await victim.process.kill()
  for (let i = 0; i < 20; i++) {
    console.log(i, await redis.get(`${ns}:ext:look`), Date.now(), await redis.hgetall(`${ns}:ext:suspects`), await redis.keys(`${ns}:ext:lease*`), ledger.of('start').length)
    await delay(1000)
  }
  console.log(heir.process.stdout, await redis.hgetall(`${ns}:ext:processes`))
}, 60000)
