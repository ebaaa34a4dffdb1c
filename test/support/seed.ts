import { onTestFailed } from 'vitest'
import { chance, type Chance } from './chance.ts'

/** Random numbers for a test, which tells how to repeat them when it fails. */
export function chanceOfTest(): Chance {
  const drawn = chance()
  onTestFailed(() => {
    console.error(`Repeat with FAULTS_SEED=${drawn.seed}`)
  })
  return drawn
}
