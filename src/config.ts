import { conductGroup } from './conductoptions.ts'
import { displayGroup } from './displayoptions.ts'
import type { OptionGroup } from './option.ts'
import { workGroup } from './workoptions.ts'

// What flags and environment can say; what only the controller is told is in controloptions.ts.
export * from './conductoptions.ts'
export * from './displayoptions.ts'
export * from './redisoptions.ts'
export * from './workoptions.ts'

/** Everything that `resqueue work` can be told, besides Redis. */
export const workerGroups: readonly OptionGroup[] = [workGroup, conductGroup, displayGroup]
