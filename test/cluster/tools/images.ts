import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { mirror } from './packages.ts'
import { cacheFolder, programPath, toolPath } from './tools.ts'

/** An image as a file that `ctr images import` reads. */
export interface ImageFile {
  /** The name that pods use: `localhost/resqueue-test/…`. */
  readonly name: string
  readonly tar: string
}

/** The checkout whose image is built. RESQUEUE_TEST_SOURCE names another one. */
const ROOT = join(process.env['RESQUEUE_TEST_SOURCE'] ?? fileURLToPath(new URL('../../../', import.meta.url)), '/')
const FILES = fileURLToPath(new URL('./images/', import.meta.url))
const MAX_OUTPUT = 64 * 1024 * 1024
const PREFIX = 'localhost/resqueue-test'
/** The Debian release of the stand-in, that of the Dockerfile's NODE_IMAGE. */
const SUITE = 'trixie'
/** What is in that image besides the base system; Node 26 is linked with libatomic. */
const BASE_PACKAGES = 'ca-certificates,libatomic1'

/**
 * The image that the project's Dockerfile starts from: NODE_IMAGE of the environment, or the stand-in of `buildBase`.
 */
export function baseName(): string {
  const made = [SUITE, process.versions.node, BASE_PACKAGES, readFileSync(join(FILES, 'node.Containerfile'), 'utf8')]
  return process.env['RESQUEUE_TEST_NODE_IMAGE'] ?? `${PREFIX}/node:${digest(...made)}`
}

/** Builds the stand-in for the Node image where it is missing: about a minute, 300 MB. */
export function buildBase(): void {
  if (process.env['RESQUEUE_TEST_NODE_IMAGE'] || hasImage(baseName())) return
  const context = mkdtempSync(join(imagesFolder(), 'base-'))
  try {
    const rootfs = join(context, 'rootfs')
    run('debootstrap', ['--variant=minbase', `--include=${BASE_PACKAGES}`, SUITE, rootfs, mirror()])
    copyFileSync(realpathSync(process.execPath), join(rootfs, 'usr/local/bin/node'))
    cpSync(hostNpm(), join(rootfs, 'usr/local/lib/node_modules/npm'), { recursive: true, dereference: true })
    for (const name of ['npm', 'npx'])
      symlinkSync(`../lib/node_modules/npm/bin/${name}-cli.js`, join(rootfs, 'usr/local/bin', name))
    trustWhatHostTrusts(rootfs)
    rmSync(join(rootfs, 'var/cache/apt/archives'), { recursive: true, force: true })
    mkdirSync(join(rootfs, 'var/cache/apt/archives/partial'), { recursive: true })
    build(baseName(), join(FILES, 'node.Containerfile'), context)
  } finally {
    rmSync(context, { recursive: true, force: true })
  }
}

/**
 * The image of the project, built from its Dockerfile. Built again only where something that goes into it has changed.
 */
export function projectImage(): ImageFile {
  buildBase()
  const inputs = ['Dockerfile', '.dockerignore', ...dockerContext()].flatMap((entry) => contentOf(ROOT, entry))
  const name = `${PREFIX}/resqueue:${digest(baseName(), ...inputs)}`
  return imageFile(name, () => build(name, join(ROOT, 'Dockerfile'), ROOT))
}

/** An image `FROM` the project's with a folder of job modules at /app/jobs, as users make it. */
export function imageWithJobs(folder: string): ImageFile {
  const from = projectImage().name
  const name = `${PREFIX}/jobs:${digest(from, ...contentOf(folder, '.'))}`
  return imageFile(name, () => {
    const context = mkdtempSync(join(tmpdir(), 'resqueue-image-'))
    cpSync(folder, join(context, 'jobs'), { recursive: true })
    writeFileSync(join(context, 'Containerfile'), `FROM ${from}\nCOPY jobs /app/jobs\n`)
    build(name, join(context, 'Containerfile'), context)
    rmSync(context, { recursive: true, force: true })
  })
}

/** The Redis of the tests: a Valkey of the Debian package, as in the chart. */
export function redisImage(): ImageFile {
  buildBase()
  const name = `${PREFIX}/redis:${digest(baseName(), ...contentOf(FILES, 'redis.Containerfile'))}`
  return imageFile(name, () => build(name, join(FILES, 'redis.Containerfile'), FILES))
}

/** The image of every pod's first container. */
export function pauseImage(): ImageFile {
  const name = `${PREFIX}/pause:${digest(toolPath('pause'), ...contentOf(FILES, 'pause.Containerfile'))}`
  return imageFile(name, () => {
    const context = mkdtempSync(join(tmpdir(), 'resqueue-image-'))
    copyFileSync(toolPath('pause'), join(context, 'pause'))
    build(name, join(FILES, 'pause.Containerfile'), context)
    rmSync(context, { recursive: true, force: true })
  })
}

function imagesFolder(): string {
  const folder = join(cacheFolder(), 'images')
  mkdirSync(folder, { recursive: true })
  return folder
}

/** The image's file, made with `make` where there is none. Older builds of the same image are removed. */
function imageFile(name: string, make: () => void): ImageFile {
  const [kind = '', tag = ''] = name.slice(PREFIX.length + 1).split(':')
  const tar = join(imagesFolder(), `${kind}-${tag}.tar`)
  if (existsSync(tar)) return { name, tar }
  if (!hasImage(name)) make()
  const partial = `${tar}.${process.pid}`
  buildah(['push', '--disable-compression', name, `oci-archive:${partial}:${name}`])
  renameSync(partial, tar)
  for (const file of readdirSync(imagesFolder()))
    if (file.startsWith(`${kind}-`) && file.endsWith('.tar') && join(imagesFolder(), file) !== tar) discard(file)
  return { name, tar }
}

function discard(file: string): void {
  rmSync(join(imagesFolder(), file))
  const [kind, ...tag] = file.replace(/\.tar$/, '').split('-')
  spawnBuildah(['rmi', `${PREFIX}/${kind}:${tag.join('-')}`])
}

function build(name: string, file: string, context: string): void {
  const base = ['--build-arg', `NODE_IMAGE=${baseName()}`]
  const how = ['--isolation', 'chroot', '--network', 'host', '--pull-never', '--layers', '--format', 'oci']
  process.stderr.write(`Building the image ${name}\n`)
  buildah(['bud', ...how, ...base, '--ignorefile', ignoreFile(context), '-f', file, '-t', name, context])
}

/** buildah reads .dockerignore only where it is told to. */
function ignoreFile(context: string): string {
  const file = join(context, '.dockerignore')
  return existsSync(file) ? file : '/dev/null'
}

function hasImage(name: string): boolean {
  return spawnBuildah(['inspect', '--type', 'image', name]).status === 0
}

function buildah(args: readonly string[]): void {
  const { status, stdout, stderr } = spawnBuildah(args)
  if (status !== 0) throw new Error(`buildah ${args.join(' ')}:\n${`${stdout}${stderr}`.slice(-8000)}`)
}

function spawnBuildah(args: readonly string[]): { status: number | null; stdout: string; stderr: string } {
  const store = ['--root', join(imagesFolder(), 'store'), '--runroot', join(imagesFolder(), 'run')]
  // In a mount namespace of its own, so that no mount of a build is left behind.
  const command = ['--mount', programPath('buildah') ?? 'buildah', ...store, '--storage-driver', 'overlay', ...args]
  return spawnSync('unshare', command, { encoding: 'utf8', maxBuffer: MAX_OUTPUT })
}

function run(program: string, args: readonly string[]): void {
  const found = programPath(program) ?? program
  const { status, stdout, stderr } = spawnSync(found, args, { encoding: 'utf8', maxBuffer: MAX_OUTPUT })
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}:\n${`${stdout}${stderr}`.slice(-4000)}`)
}

function hostNpm(): string {
  const { stdout } = spawnSync('npm', ['root', '--global'], { encoding: 'utf8' })
  const folder = join(stdout.trim(), 'npm')
  if (!existsSync(folder)) throw new Error(`npm is not where "npm root --global" says: ${folder}`)
  return folder
}

/** npm and apt inside a build meet the same authorities as on this machine, private ones included. */
function trustWhatHostTrusts(rootfs: string): void {
  const bundle = 'etc/ssl/certs/ca-certificates.crt'
  if (!existsSync(`/${bundle}`)) return
  copyFileSync(`/${bundle}`, join(rootfs, bundle))
  mkdirSync(join(rootfs, 'usr/local/etc'), { recursive: true })
  writeFileSync(join(rootfs, 'usr/local/etc/npmrc'), `cafile=/${bundle}\n`)
}

/** What .dockerignore lets through. */
function dockerContext(): string[] {
  const lines = readFileSync(join(ROOT, '.dockerignore'), 'utf8').split('\n')
  return lines.filter((line) => line.startsWith('!')).map((line) => line.slice(1))
}

/** Names and content of the files that `entry` is or holds. */
function contentOf(root: string, entry: string): (string | Buffer)[] {
  const path = join(root, entry)
  if (!statSync(path).isDirectory()) return [entry, readFileSync(path)]
  return readdirSync(path)
    .sort()
    .flatMap((name) => contentOf(root, join(entry, name)))
}

function digest(...parts: readonly (string | Buffer)[]): string {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part).update('\0')
  return hash.digest('hex').slice(0, 16)
}
