// Joins the modules that a spawned job process boots with into one file, dist/worker/spawned.js: fifteen small modules
// cost each of those processes 5 ms of CPU. Without this step all works the same, only slower.
import { dirname, join } from 'node:path'
import { rolldown } from 'rolldown'

const file = join(dirname(import.meta.dirname), 'dist', 'worker', 'spawned.js')
const bundle = await rolldown({ input: file, platform: 'node', external: /^node:/ })
await bundle.write({ file, format: 'esm', sourcemap: true, codeSplitting: false })
await bundle.close()
