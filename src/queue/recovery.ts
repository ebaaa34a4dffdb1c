import { loadScript } from '../redis/scripts.ts'
import type { Patience, Store } from '../redis/store.ts'

const releaseScript = loadScript('release')
const lookScript = loadScript('look')

/** At least this long between two looks, and so between suspicion and release. Milliseconds. */
export const LOOK_MS = 2000
/** A gap between looks beyond which leases prove nothing. */
const LOOK_GAP_MS = 5000
/** How long nobody is reaped after such a gap. */
const HOLD_MS = 6000

/** Why a process is released; re-checked inside the script. */
export type ReleaseReason =
  /** The process itself, at shutdown: interrupted jobs count nothing. */
  | { readonly kind: 'owner' }
  /** Its lease lapsed, in two looks. */
  | { readonly kind: 'lease' }
  /** A successor registered under its instance name: the container restarted in its pod. */
  | { readonly kind: 'instance'; readonly instance: string }
  /** Its pid is dead in our own pid namespace; `registration` as read, so that a changed one is left alone. */
  | { readonly kind: 'dead'; readonly registration: string }
  /** Its pod is gone, and its lease has at most `leftMs` left: it has missed a renewal. */
  | { readonly kind: 'silent'; readonly leftMs: number }

export type Release =
  | { readonly kind: 'released'; readonly back: number; readonly failed: number; readonly quarantined: number }
  /** The reason does not hold (any more), or a record could be written nowhere. */
  | { readonly kind: 'alive' }
  | { readonly kind: 'absent' }

/** Puts back what a process holds and removes its registration, atomically (`lua/release.lua`). */
export async function release(
  store: Store,
  nonce: string,
  reason: ReleaseReason,
  maxRecoveries: number,
  patience?: Patience,
): Promise<Release> {
  const evidence = evidenceOf(reason)
  const [kind, back, failed, quarantined] = (await store.run(
    releaseScript,
    [nonce, reason.kind, evidence, maxRecoveries],
    patience,
  )) as [Release['kind'], number, number, number]
  return kind === 'released' ? { kind, back, failed, quarantined } : { kind }
}

function evidenceOf(reason: ReleaseReason): string | number {
  switch (reason.kind) {
    case 'instance':
      return reason.instance
    case 'dead':
      return reason.registration
    case 'silent':
      return reason.leftMs
    default:
      return ''
  }
}

/**
 * Looks for processes whose lease lapsed (`lua/look.lua`). Returns the nonces to release; most calls find that another
 * worker looked.
 */
export async function look(store: Store, patience?: Patience): Promise<readonly string[]> {
  return (await store.run(lookScript, [LOOK_MS, LOOK_GAP_MS, HOLD_MS], patience)) as string[]
}
