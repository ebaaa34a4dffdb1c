#!/usr/bin/env node
// Checks the version before anything is loaded that an old Node cannot even parse. Keep this file plain.
const needed = 24
const found = process.versions.node

if (Number(found.split('.')[0]) < needed) {
  process.stderr.write(`resqueue: Node ${needed} or newer is needed, this is Node ${found} (${process.execPath})\n`)
  process.exitCode = 64
} else {
  const { main } = await import('./cli/main.ts')
  process.exitCode = await main(process.argv.slice(2))
}
