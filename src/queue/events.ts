/** Event name → the arguments its listeners get, as a tuple. */
export type EventMap<M> = { readonly [E in keyof M]: readonly unknown[] }

export type Listener<A extends readonly unknown[]> = (...args: A) => unknown

/** Listeners by event (R67): several per event, called and awaited in the order in which they came. */
export interface Events<M extends EventMap<M>> {
  /** Returns a function that takes the listener away again. */
  listen<E extends keyof M>(event: E, listener: Listener<M[E]>): () => void
  /** Takes every registration of this listener for this event away. */
  stopListening<E extends keyof M>(event: E, listener: Listener<M[E]>): void
  /** Takes the listeners of one event away, or all. */
  clearListeners(event?: keyof M): void
  /** Whether anybody listens. */
  has(event: keyof M): boolean
  /**
   * Calls the listeners one after the other. Stops and rejects with what a listener throws; resolves to false as soon
   * as a listener returns false, else to true.
   */
  trigger<E extends keyof M>(event: E, ...args: M[E]): Promise<boolean>
}

/** What a client tells. Arguments are as the caller passed them, not wrapped into a list. */
export interface ClientEvents {
  /** Before a job is enqueued or scheduled. A listener that throws `DoNotCreate` or returns false vetoes it (R9). */
  beforeEnqueue: [job: string, args: unknown, queue: string, id: string]
  /** After the job is in its queue (R8). */
  afterEnqueue: [job: string, args: unknown, queue: string, id: string]
  /** After a delayed job was filed; `at` in Unix seconds (R69). */
  afterSchedule: [at: number, queue: string, job: string, args: unknown, id: string]
}

/** Thrown by a `beforeEnqueue` listener: the job is not created, `enqueue` returns false (R9). */
export class DoNotCreate extends Error {
  override readonly name: string = 'DoNotCreate'
}

/** An empty set of listeners. */
export function createEvents<M extends EventMap<M>>(): Events<M> {
  const listeners = new Map<keyof M, Listener<never>[]>()
  const stopListening = (event: keyof M, listener: unknown): void => {
    const left = (listeners.get(event) ?? []).filter((l) => l !== listener)
    if (left.length > 0) listeners.set(event, left)
    else listeners.delete(event)
  }
  return Object.freeze({
    listen: (event: keyof M, listener: unknown) => {
      listeners.set(event, [...(listeners.get(event) ?? []), listener as Listener<never>])
      return () => stopListening(event, listener)
    },
    stopListening,
    clearListeners: (event?: keyof M) => {
      if (event === undefined) listeners.clear()
      else listeners.delete(event)
    },
    has: (event: keyof M) => listeners.has(event),
    async trigger(event: keyof M, ...args: readonly unknown[]) {
      for (const listener of listeners.get(event) ?? []) {
        // As in php-resque, what cannot be called is skipped.
        if (typeof listener !== 'function') continue
        if ((await (listener as unknown as Listener<readonly unknown[]>)(...args)) === false) return false
      }
      return true
    },
  }) as Events<M>
}
