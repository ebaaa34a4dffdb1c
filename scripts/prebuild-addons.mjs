// Compiles the addon for every architecture that the npm package carries, into prebuilds/linux-ARCH/. Needs Linux and
// both compilers; a package without an addon would only show by jobs that are spawned instead of forked, so what is
// missing is an error here.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import process from 'node:process'

const root = dirname(import.meta.dirname)

/** By Node's name of the architecture: the compiler, and what brings it on Debian where it is not the machine's own. */
const COMPILERS = {
  x64: { cc: 'x86_64-linux-gnu-gcc', packages: 'gcc-x86-64-linux-gnu libc6-dev-amd64-cross' },
  arm64: { cc: 'aarch64-linux-gnu-gcc', packages: 'gcc-aarch64-linux-gnu libc6-dev-arm64-cross' },
}

/** The oldest glibc that Node's own Linux builds run on: https://github.com/nodejs/node/blob/main/BUILDING.md */
const GLIBC = 28

function fail(message) {
  console.error(`resqueue: ${message}`)
  process.exit(1)
}

for (const [arch, { cc, packages }] of Object.entries(COMPILERS)) {
  const out = join(root, 'prebuilds', `linux-${arch}`, 'resqueue_fork.node')
  const script = join(root, 'scripts', 'build-addon.mjs')
  rmSync(out, { force: true })
  const { status } = spawnSync(process.execPath, [script, '--out', out], {
    stdio: 'inherit',
    env: { ...process.env, CC: cc },
  })
  if (status !== 0 || !existsSync(out)) fail(`no addon for linux-${arch}: on Debian, apt-get install ${packages}`)
  const newest = Math.max(
    ...readFileSync(out, 'latin1')
      .matchAll(/GLIBC_2\.(\d+)/g)
      .map(([, minor]) => Number(minor)),
  )
  if (newest > GLIBC)
    fail(`the addon for linux-${arch} needs glibc 2.${newest}, Node only 2.${GLIBC}: pack on an older system`)
  console.log(`prebuilds/linux-${arch}: needs glibc 2.${newest}`)
}
