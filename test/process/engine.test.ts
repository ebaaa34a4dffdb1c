import { describe, expect, test } from 'vitest'
import { descendants, isAlive, zombies } from '../support/proc.ts'
import { own } from '../support/scope.ts'
import { waitFor } from '../support/wait.ts'
import { bench, fixture, nodeOptions } from './engine.ts'

describe.each(['fork', 'spawn'] as const)('%s', (isolation) => {
  test('gives back what perform returned, and the job knows itself', async () => {
    const { engine, run, notices, forks } = await bench({ isolation })
    expect(engine.isolation).toBe(isolation)
    const outcome = await run('Echo', [{ to: 'a' }], { attempt: 3 })
    const result =
      '{"data":{"to":"a"},"id":"an-id","queue":"mail","class":"Echo","attempt":3,"foreign":true,"same":true}'
    expect(outcome).toMatchObject({ kind: 'succeeded', result, process: { pid: expect.any(Number) } })
    const peak = outcome.process?.peakMemoryBytes ?? 0
    expect(peak > 5e6 && peak < 1e9).toBe(true)
    expect(await run('Later')).toMatchObject({ kind: 'succeeded', result: '"later"' })
    expect(await run('NoJson')).toMatchObject({ kind: 'succeeded', result: 'null' })
    expect(await run('TooLong')).toMatchObject({ kind: 'succeeded', result: 'null' })
    expect(await run(String.raw`App\Jobs\SendEmail`, ['x'])).toMatchObject({ kind: 'succeeded', result: '"x"' })
    expect(await run('Title')).toMatchObject({
      result: expect.stringMatching(/^"resque-\d+\.\d+\.\d+: Processing mail since /),
    })
    expect(notices).toEqual([])
    expect(forks.length).toBeGreaterThan(0)
  })

  test('timers, thread pool, child processes, worker threads and imports work in a job', async () => {
    const { run } = await bench({ isolation })
    expect(await run('Work')).toMatchObject({ kind: 'succeeded', result: '[true,16,"hello","hi"]' })
  })

  test('knows a job of its own, to check an installation with', async () => {
    const { run } = await bench({ isolation })
    expect(await run('ResQueueCheck')).toMatchObject({ kind: 'succeeded', result: '"ok"' })
  })

  test('pads missing arguments, so that the context stands where the signature has it', async () => {
    const { run } = await bench({ isolation })
    expect(await run('Three', [1])).toMatchObject({ result: '[1,null,null,"Three"]' })
    expect(await run('Three', [1, 2, 3])).toMatchObject({ result: '[1,2,3,"Three"]' })
    expect(await run('Rest', [1, 2, 3])).toMatchObject({ result: '4' })
    expect(await run('Echo', undefined, { payload: '{"class":"Echo"}' })).toMatchObject({ kind: 'succeeded' })
  })

  test('performs the class form with args, queue and job, around it setUp and tearDown', async () => {
    const { run, output } = await bench({ isolation })
    const result = JSON.stringify({ args: { a: 1 }, queue: 'mail', id: 'an-id', data: { a: 1 }, class: 'Php' })
    expect(await run('Php', [{ a: 1 }])).toMatchObject({ kind: 'succeeded', result })
    expect(output).toEqual(['stdout setUp {"a":1}', 'stdout tearDown'])
  })

  test('whatever job code throws fails the job, with class, message and backtrace', async () => {
    const { run } = await bench({ isolation })
    expect(await run('Throw')).toMatchObject({
      kind: 'failed',
      error: {
        type: 'TypeError',
        message: 'no good',
        backtrace: expect.arrayContaining([
          expect.stringMatching(/^at .*every\.ts:\d+/),
          'caused by RangeError: the root',
        ]),
      },
    })
    expect(await run('ThrowText')).toMatchObject({ kind: 'failed', error: { type: 'Error', message: 'just text' } })
    const own = await run('ThrowOwn')
    expect(own).toMatchObject({ kind: 'failed', error: { type: 'PaymentError', message: 'declined' } })
    expect(own.process?.stderr).toBe('the card was refused\n')
    expect(await run('Uncaught')).toMatchObject({
      kind: 'failed',
      error: { type: 'RangeError', message: 'from a timer' },
    })
    expect(await run('Rejection')).toMatchObject({ kind: 'failed', error: { type: 'RangeError' } })
    expect(await run('NeverSettles')).toMatchObject({
      kind: 'failed',
      error: { message: expect.stringContaining('still pending') },
    })
    expect(await run('Nope')).toMatchObject({ kind: 'failed', error: { message: 'Could not find job class Nope.' } })
    expect(await run('Helper')).toMatchObject({
      kind: 'failed',
      error: { message: 'Job class Helper does not contain a perform method.' },
    })
  })

  test('Fatal, Retry and DoNotPerform say what is to become of the job', async () => {
    const { run } = await bench({ isolation })
    expect(await run('Give')).toMatchObject({
      kind: 'failed',
      error: { type: 'Fatal', message: 'never again', fatal: true },
    })
    expect(await run('Again')).toMatchObject({ kind: 'failed', error: { type: 'Retry', retryAfterMs: 1500 } })
    const measured = { pid: expect.any(Number), peakMemoryBytes: expect.any(Number) }
    expect(await run('Skip')).toEqual({ kind: 'skipped', process: measured })
  })

  test('policies come from the definitions, in milliseconds', async () => {
    const { engine } = await bench({ isolation })
    expect(engine.policies.get('Slow')).toEqual({ name: 'Slow', timeoutMs: 1000 })
    const retry = { attempts: 3, backoff: 'list', delaysMs: [1000, 60_000], jitter: 0 }
    expect(engine.policies.get('Tries')).toEqual({ name: 'Tries', retry })
  })

  test('process.exit ends the job with its code, after its output was written', async () => {
    const { run, output } = await bench({ isolation })
    const outcome = await run('Exit', [3])
    expect(outcome).toMatchObject({ kind: 'exited', code: 3, process: { exitCode: 3 } })
    expect(await run('Exit', [0])).toMatchObject({ kind: 'exited', code: 0 })
    expect(output).toEqual(['stdout leaving', 'stdout leaving'])
  })

  test('a process that a signal ends is reported with the signal, its memory and its last words', async () => {
    const { run } = await bench({ isolation })
    for (const signal of ['SIGKILL', 'SIGSEGV', 'SIGABRT'] as const) {
      const outcome = await run('Signal', [signal])
      expect(outcome).toMatchObject({ kind: 'signalled', signal, process: { signal, stderr: 'about to go\n' } })
      // Only wait4 tells what a process used.
      expect(Number(outcome.process?.peakMemoryBytes ?? 0) > 5e6).toBe(isolation === 'fork')
    }
    expect(await run('Later')).toMatchObject({ kind: 'succeeded' })
  })

  test('a job whose own listener leaves on a signal is reported with the signal', async () => {
    const { begin, output } = await bench({ isolation })
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      output.length = 0
      const job = begin('LeaveOn', [signal])
      await waitFor(() => output.includes('stdout ready'))
      process.kill(await job.pid, signal)
      expect(await job.outcome).toMatchObject({ kind: 'exited', code: 0, heard: { signal } })
    }
  })

  test('time is over: TERM, then KILL for an endless loop and for a job that ignores TERM', async () => {
    // Of a TERM and a KILL that both wait for a process without a core, the KILL comes first.
    const { run, output } = await bench({ isolation, killDelayMs: 2000 })
    if (isolation === 'fork') await waitFor(() => descendants().some(({ command }) => command.includes(': Waiting')))
    expect(await run('Slow')).toMatchObject({ kind: 'timed_out', timeoutMs: 1000, process: { signal: 'SIGTERM' } })
    // More than Node's timers take: it must not fire at once.
    expect(await run('Later', [], { timeoutMs: 2 ** 32 })).toMatchObject({ kind: 'succeeded' })
    const timed = { kind: 'timed_out', timeoutMs: 1000 }
    expect(await run('Loop', [], { timeoutMs: 1000 })).toMatchObject({ ...timed, process: { signal: 'SIGTERM' } })
    const stubborn = await run('Stubborn', [], { timeoutMs: 1500 })
    expect(stubborn).toMatchObject({ kind: 'timed_out', process: { signal: 'SIGKILL' } })
    expect(output).toEqual(['stdout ready', 'stdout ignored'])
  })

  test('an aborted run is cancelled; a job that looks at its signal is told', async () => {
    const { begin, output } = await bench({ isolation, killDelayMs: 20_000 })
    const polite = begin('Polite')
    await waitFor(() => output.includes('stdout ready'))
    polite.abort(new Error('shutdown'))
    expect(await polite.outcome).toMatchObject({ kind: 'cancelled', reason: 'shutdown' })
    expect(output).toEqual(['stdout ready', 'stdout told: AbortError'])
    const wait = begin('Wait')
    await waitFor(() => output.filter((line) => line === 'stdout ready').length === 2)
    wait.abort('fenced')
    expect(await wait.outcome).toMatchObject({ kind: 'cancelled', reason: 'fenced', process: { signal: 'SIGTERM' } })
  })

  test('kill ends running jobs without TERM', async () => {
    const { engine, begin, output } = await bench({ isolation, killDelayMs: 20_000 })
    const run = begin('Stubborn')
    await waitFor(() => output.includes('stdout ready'))
    engine.kill()
    expect(await run.outcome).toMatchObject({ kind: 'cancelled', process: { signal: 'SIGKILL' } })
    expect(output).toEqual(['stdout ready'])
  })

  test('output comes line by line, from descendants too, and none of a flood is lost', async () => {
    const { run, output, logs } = await bench({ isolation })
    expect(await run('Talk')).toMatchObject({ kind: 'succeeded' })
    expect(output.filter((line) => line.startsWith('stdout'))).toEqual([
      'stdout one',
      'stdout two',
      'stdout no line feedfrom a grandchild',
    ])
    expect(output).toContain('stderr trouble')
    expect(logs).toEqual([['warn', 'structured', { a: 1 }]])
    output.length = 0
    await run('Flood')
    expect(output).toHaveLength(20_000)
    expect(new Set(output)).toEqual(new Set([`stdout ${'x'.repeat(79)}`]))
  })

  test('what has no JSON form is logged as Node shows it, and fails no job', async () => {
    const { run, logs } = await bench({ isolation })
    expect(await run('TalkOddly')).toMatchObject({ kind: 'succeeded' })
    expect(logs).toEqual([['info', 'odd', { fields: '{ big: 1n, cycle: { big: 1n } }' }]])
  })

  test('a line that is too long is cut, and fails no job', async () => {
    const { run, logs } = await bench({ isolation })
    expect(await run('TalkLong')).toMatchObject({ kind: 'succeeded' })
    const fields = `{"text":"${'x'.repeat(65_536)}`.slice(0, 65_536)
    expect(logs).toEqual([
      ['info', 'x'.repeat(65_536), {}],
      ['info', 'long', { fields }],
    ])
  })

  test('an error among the fields of a line is logged with what JSON would leave out', async () => {
    const { run, logs } = await bench({ isolation })
    expect(await run('TalkOfErrors')).toMatchObject({ kind: 'succeeded' })
    const shown = { type: 'RangeError', message: 'too far', backtrace: expect.arrayContaining([expect.any(String)]) }
    expect(logs).toEqual([['error', 'trouble', { error: { code: 'E_FAR', ...shown }, to: 'a' }]])
  })

  test('listeners of the hooks module are told in order, also in the job process', async () => {
    const { run, output } = await bench({ isolation, hooks: fixture('hooks.ts') })
    await run('Php', [])
    expect(output).toEqual([
      'stdout afterFork Php',
      'stdout beforePerform 1',
      'stdout beforePerform 2',
      'stdout setUp []',
      'stdout tearDown',
      'stdout afterPerform',
    ])
  })

  test('a process performs as many jobs as it may', async () => {
    const { run } = await bench({ isolation, jobsPerChild: 3 })
    const seen: { pid: number; performed: number }[] = []
    for (let i = 0; i < 7; i += 1) {
      const outcome = await run('Count')
      seen.push(JSON.parse(outcome.kind === 'succeeded' ? outcome.result : '{}') as (typeof seen)[number])
    }
    const byPid = Map.groupBy(seen, ({ pid }) => pid)
    expect([...byPid.values()].map((jobs) => jobs.map(({ performed }) => performed))).toEqual(
      expect.arrayContaining([[1, 2, 3]]),
    )
    expect(Math.max(...seen.map(({ performed }) => performed))).toBe(3)
  })

  test('a process that fails between its jobs harms none', async () => {
    const { run } = await bench({ isolation, jobsPerChild: 0 })
    const first = await run('Count')
    process.kill(first.process?.pid ?? 0, 'SIGKILL')
    const outcomes = await Promise.all([run('Count'), run('Count')])
    expect(outcomes.map(({ kind }) => kind)).toEqual(['succeeded', 'succeeded'])
  })

  test('many at once', async () => {
    const { run } = await bench({ isolation, concurrency: 4 })
    const outcomes = await Promise.all(Array.from({ length: 12 }, (_, i) => run('Echo', [i])))
    expect(outcomes.map((o) => o.kind === 'succeeded' && (JSON.parse(o.result) as { data: number }).data)).toEqual(
      Array.from({ length: 12 }, (_, i) => i),
    )
    await waitFor(() => zombies().length === 0)
  })

  test('what a job leaves behind goes with its process', async () => {
    const { run } = await bench({ isolation })
    const outcome = await run('LeaveBehind')
    const pid = Number(outcome.kind === 'succeeded' && outcome.result)
    expect(pid).toBeGreaterThan(1)
    await waitFor(() => !isAlive(pid))
  })

  test('what left the group of its job lives on, and its output is taken for no other job of the same place', async () => {
    const { run, output } = await bench({ isolation })
    const outcome = await run('Stray')
    const pid = Number(outcome.kind === 'succeeded' && outcome.result)
    own('stray', () => void process.kill(pid, 'SIGKILL'))
    output.length = 0
    for (let i = 0; i < 5; i += 1) await run('Later')
    expect(isAlive(pid)).toBe(true)
    expect(output).toEqual([])
  })

  test('memory beyond the limit ends one job, seen from outside and on the heap', async () => {
    const { run } = await bench({ isolation, jobMemoryMiB: 150 })
    const limitBytes = 150 * 2 ** 20
    expect(await run('Buffers')).toMatchObject({ kind: 'out_of_memory', limitBytes, process: { signal: 'SIGKILL' } })
    expect(await run('Heap')).toMatchObject({ kind: 'out_of_memory', limitBytes })
    expect(await run('Later')).toMatchObject({ kind: 'succeeded' })
  })

  test('a full heap is told as such without a limit, too', async () => {
    nodeOptions('--max-old-space-size=60')
    const { run } = await bench({ isolation })
    expect(await run('Heap')).toMatchObject({ kind: 'out_of_memory', process: { signal: 'SIGABRT' } })
  })

  test('nonsense on the channel fails its job and harms no other', async () => {
    const { run, notices } = await bench({ isolation, jobsPerChild: 0 })
    const nonsense = [
      ['all is well\n', false],
      ['all is well\n', true], // and it never ends
      ['\x07', false],
      ['\0'.repeat(64), true],
      ['\x05\0\0\0X]{[}', true], // a failure that is no JSON
      ['\x07\0\0\0L[1,23]', true], // a log line of another shape
    ] as const
    for (const [bytes, waits] of nonsense) {
      const outcome = await run('Garble', [Buffer.from(bytes, 'latin1').toString('base64'), waits])
      expect(outcome).toMatchObject({
        kind: 'failed',
        error: { type: 'DirtyExit', message: expect.stringContaining('channel between its process and the worker') },
        process: { signal: 'SIGKILL' },
      })
    }
    expect(await run('Later')).toMatchObject({ kind: 'succeeded' })
    expect(notices).toEqual([])
  })
})
