import type { Line } from '../support/bench.ts'
import { t1 } from './t1.ts'
import { t10 } from './t10.ts'
import { t11 } from './t11.ts'
import { t12 } from './t12.ts'
import { t13 } from './t13.ts'
import { t14 } from './t14.ts'
import { t2 } from './t2.ts'
import { t3 } from './t3.ts'
import { t4 } from './t4.ts'
import { t5 } from './t5.ts'
import { t6 } from './t6.ts'
import { t7 } from './t7.ts'
import { t8 } from './t8.ts'
import { t9 } from './t9.ts'

/** All lines, in the order of the report. */
export const lines: readonly Line[] = [t1, t2, t3, t4, t5, t6, t7, t8, t9, t10, t11, t12, t13, t14]
