// Exits 0 when node_modules holds exactly what package-lock.json asks for. Runs on whatever Node the system has.
'use strict'
const { readFileSync } = require('fs')

/** @param {string} file */
const read = (file) => JSON.parse(readFileSync(file, 'utf8')).packages

try {
  const wanted = read('package-lock.json')
  const present = read('node_modules/.package-lock.json')
  const stale = Object.keys(wanted).filter((path) => {
    if (path === '') return false
    const found = present[path]
    return found ? found.version !== wanted[path].version : !wanted[path].optional
  })
  process.exit(stale.length === 0 ? 0 : 1)
} catch {
  process.exit(1)
}
