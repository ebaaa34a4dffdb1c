import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs'
import { dirname } from 'node:path'
import { pauseImage, redisImage } from './images.ts'
import { makeKubernetesModule } from './module.ts'
import { installPackages, missingPackages, nodeImpossible } from './packages.ts'
import {
  askedVersion,
  CONTROL_PLANE,
  missingTools,
  moduleFolder,
  NODE,
  programPath,
  TOOLS,
  toolPath,
  versionOf,
  type ToolName,
} from './tools.ts'

/**
 * Makes what the tests of a cluster need and this machine has not: programs from the Go modules whose go.mod and go.sum
 * lie in the folders beside this file, and for the real node Debian packages and images. With all there it ends at
 * once; the first time takes about 15 minutes on two cores, and 3 GB of memory.
 *
 *     node build.ts                 everything that this machine can have
 *     node build.ts control-plane   what the tests with fake nodes need
 *     node build.ts helm kubectl    only these
 */
function main(args: readonly string[]): number {
  if (args.length > 0) return buildTools(args.flatMap(named))
  const built = buildTools(CONTROL_PLANE)
  const impossible = nodeImpossible()
  if (impossible === undefined) return buildTools(NODE) || preparePackages() || prepareImages() || built
  say(`The tests on a real node are left out: ${impossible}.`)
  return built
}

function preparePackages(): number {
  const missing = missingPackages()
  if (missing.length === 0 || installPackages(missing)) return 0
  say(`The real node needs ${missing.join(', ')}: install them. Their names are Debian's.`)
  return 1
}

function prepareImages(): number {
  try {
    pauseImage()
    redisImage()
    return 0
  } catch (error) {
    say(`The images for the real node were not built: ${String(error)}`)
    return 1
  }
}

function buildTools(wanted: readonly ToolName[]): number {
  const missing = missingTools(wanted)
  if (missing.length === 0) return 0
  const go = programPath('go') ?? programPath('../lib/go/bin/go')
  if (go === undefined) {
    say(`Go is needed to build ${missing.join(', ')}, and there is no "go" on the PATH.`)
    say('Install Go 1.26 or newer (https://go.dev/dl/), or name a cluster of your own for the tests:')
    say('    RESQUEUE_TEST_KUBECONFIG=~/.kube/config make test')
    return 1
  }
  const failed = missing.filter((name) => !build(go, name))
  if (failed.length > 0) say(`Not built: ${failed.join(', ')}. "make cluster-tools" tries again.`)
  return failed.length === 0 ? 0 : 1
}

function named(arg: string): readonly ToolName[] {
  if (arg === 'control-plane') return CONTROL_PLANE
  if (arg === 'node') return NODE
  if (arg in TOOLS) return [arg as ToolName]
  throw new Error(`There is no tool ${arg}: choose from ${[...CONTROL_PLANE, ...NODE].join(', ')}`)
}

function build(go: string, name: ToolName): boolean {
  const tool = TOOLS[name]
  const version = versionOf(name)
  const file = toolPath(name)
  say(`Building ${name} ${version}`)
  try {
    makeModule(go, name)
  } catch (error) {
    say(String(error))
    return false
  }
  mkdirSync(dirname(file), { recursive: true })
  const partial = `${file}.${process.pid}`
  const flags = ['-trimpath', '-buildvcs=false', '-ldflags', `-s -w ${tool.stamp?.(version) ?? ''}`.trim()]
  const { status } = spawnSync(go, ['build', ...flags, '-o', partial, tool.package], {
    cwd: moduleFolder(name),
    env: { ...process.env, CGO_ENABLED: '0', GOFLAGS: '', GOWORK: 'off' },
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  // Moved into place when complete: a build that is interrupted leaves nothing that looks built.
  if (status === 0) renameSync(partial, file)
  else rmSync(partial, { force: true })
  return status === 0
}

/** The module of a version that was asked for, where it is not there yet. */
function makeModule(go: string, name: ToolName): void {
  const [version, folder] = [askedVersion(name), moduleFolder(name)]
  if (version === undefined || existsSync(folder)) return
  const packages = Object.values(TOOLS).filter(({ module }) => module === TOOLS[name].module)
  makeKubernetesModule(
    go,
    folder,
    version,
    packages.map((tool) => tool.package),
  )
}

function say(text: string): void {
  process.stderr.write(`${text}\n`)
}

process.exitCode = main(process.argv.slice(2))
