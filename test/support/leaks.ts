import { offspring } from './proc.ts'
import { waitFor } from './wait.ts'

/** Fails when processes that are not in `allowed` outlive the test that started them, by more than a moment. */
export async function expectNoStrays(allowed: ReadonlySet<number>): Promise<void> {
  const strays = (): ReturnType<typeof offspring> => offspring().filter((p) => !allowed.has(p.pid))
  if (strays().length === 0) return
  try {
    await waitFor(() => strays().length === 0, { timeoutMs: 10_000 })
  } catch {
    const left = strays()
    for (const { pid } of left) {
      try {
        process.kill(pid, 'SIGKILL')
      } catch {
        // It ended by itself.
      }
    }
    if (left.length > 0)
      throw new Error(`Processes outlived the test: ${left.map((p) => `${p.pid} ${p.command}`).join('; ')}`)
  }
}
