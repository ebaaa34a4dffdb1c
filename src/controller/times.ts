/** Whole seconds, as conditions and statuses have them. */
export function secondTime(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`
}

/** Six decimals, which is what the API server takes in Leases and Events: three are refused. */
export function microTime(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, -1)}000Z`
}
