import type { Line } from '../support/bench.ts'
import { t1 } from './t1.ts'
import { t12 } from './t12.ts'
import { t2 } from './t2.ts'
import { t3 } from './t3.ts'
import { t5 } from './t5.ts'
import { t6 } from './t6.ts'

/** All lines, in the order of the report. */
export const lines: readonly Line[] = [t1, t2, t3, t5, t6, t12]
