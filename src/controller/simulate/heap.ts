/** Numbers by key, the least key first. */
export interface Heap {
  readonly add: (key: number, value: number) => void
  /** The least key; Infinity when empty. */
  readonly least: () => number
  /** Takes the value with the least key. */
  readonly take: () => number
}

export function createHeap(): Heap {
  const keys: number[] = []
  const values: number[] = []
  return {
    add: (key, value) => {
      let i = keys.length
      keys.push(key)
      values.push(value)
      while (i > 0) {
        const parent = (i - 1) >> 1
        if ((keys[parent] as number) <= key) break
        keys[i] = keys[parent] as number
        values[i] = values[parent] as number
        i = parent
      }
      keys[i] = key
      values[i] = value
    },
    least: () => keys[0] ?? Number.POSITIVE_INFINITY,
    take: () => {
      const taken = values[0] as number
      const key = keys.pop() as number
      const value = values.pop() as number
      const size = keys.length
      if (size === 0) return taken
      let i = 0
      for (;;) {
        let child = 2 * i + 1
        if (child >= size) break
        if (child + 1 < size && (keys[child + 1] as number) < (keys[child] as number)) child++
        if ((keys[child] as number) >= key) break
        keys[i] = keys[child] as number
        values[i] = values[child] as number
        i = child
      }
      keys[i] = key
      values[i] = value
      return taken
    },
  }
}
