/** The `ext:paused` value; anything but a JSON list of names pauses nothing. */
export function parsePaused(field: unknown): readonly string[] {
  if (typeof field !== 'string' || field === '') return []
  try {
    const names: unknown = JSON.parse(field)
    return Array.isArray(names) ? names.filter((name): name is string => typeof name === 'string') : []
  } catch {
    return []
  }
}

/** The `pause-all-workers` value as Ruby reads it: true, whatever the case and the space around it. */
export function parsePausedAll(field: unknown): boolean {
  return typeof field === 'string' && field.trim().toLowerCase() === 'true'
}
