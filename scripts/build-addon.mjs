// Compiles native/*.c into build/Release/resqueue_fork.node, with nothing but a C compiler.
//
//   node scripts/build-addon.mjs [--if-missing] [--out FILE]
//
// Runs in the checkout and as the package's install script, on any platform: where it cannot build (not Linux with
// glibc, no compiler, no headers) it says so in one line and exits 0, and the worker takes `spawn` instead of `fork`. A
// compiler that runs and refuses our source is a bug of ours: exit 1.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, resolve } from 'node:path'
import process from 'node:process'

const root = dirname(import.meta.dirname)
const flag = process.argv.indexOf('--out')
const out = flag > 0 ? resolve(process.argv[flag + 1] ?? '') : join(root, 'build', 'Release', 'resqueue_fork.node')

/** Ends politely: the package works without the addon. */
function without(reason) {
  console.log(`resqueue: native fork not built: ${reason}; job processes will be spawned instead of forked`)
  process.exit(0)
}

/** npm's node-api-headers, else the headers that came with Node itself. */
function headers() {
  const candidates = [join(dirname(dirname(process.execPath)), 'include', 'node')]
  try {
    const entry = createRequire(join(root, 'package.json')).resolve('node-api-headers')
    candidates.unshift(join(dirname(entry), 'include'))
  } catch {
    // Not installed: it is only one of the two places.
  }
  return candidates.find((folder) => existsSync(join(folder, 'node_api.h')))
}

/** $CC, else the first compiler that answers. */
function compiler() {
  const candidates = process.env['CC'] ? [process.env['CC'].split(' ')] : [['cc'], ['gcc'], ['clang']]
  return candidates.find(([name, ...rest]) => spawnSync(name, [...rest, '--version'], { stdio: 'ignore' }).status === 0)
}

if (process.platform !== 'linux') without(`fork needs Linux, this is ${process.platform}`)
if (!process.report.getReport().header.glibcVersionRuntime) without('fork needs glibc')
const ready = join(root, 'prebuilds', `linux-${process.arch}`, 'resqueue_fork.node')
if (process.argv.includes('--if-missing') && (existsSync(out) || existsSync(ready))) process.exit(0)
const include = headers()
if (!include) without('node_api.h was not found (npm install node-api-headers)')
const cc = compiler()
if (!cc) without('no C compiler (cc, gcc or clang) was found')

mkdirSync(dirname(out), { recursive: true })
// Beside it, then renamed: a running worker keeps the file it has mapped.
const fresh = `${out}.${process.pid}`
const sources = ['addon.c', 'zygote.c'].map((name) => join(root, 'native', name))
const args = ['-std=gnu11', '-O2', '-Wall', '-Wextra', '-shared', '-fPIC', '-I', include, '-o', fresh, ...sources]
const { status } = spawnSync(cc[0], [...cc.slice(1), ...args], { stdio: 'inherit' })
if (status !== 0) {
  rmSync(fresh, { force: true })
  console.error('resqueue: the C compiler refused native/*.c')
  process.exit(1)
}
renameSync(fresh, out)
