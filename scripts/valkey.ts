import { spawnSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { mirror } from '../test/cluster/tools/packages.ts'
import { cacheFolder, programPath } from '../test/cluster/tools/tools.ts'

// Prints the path of a valkey-server: that of the PATH, or on Debian one that is unpacked into the cache, from the
// packages of the release or of its backports. Nothing is installed, and root is not needed.

const KEYS = '/usr/share/keyrings/debian-archive-keyring.gpg'

function fetchValkey(folder: string): void {
  if (!existsSync(KEYS)) throw new Error('valkey-server is missing: install it with your package manager.')
  process.stderr.write('Fetching valkey-server\n')
  mkdirSync(cacheFolder(), { recursive: true })
  const work = mkdtempSync(`${folder}.`)
  try {
    mkdirSync(join(work, 'lists'))
    const release = /^VERSION_CODENAME=(.*)$/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1]
    const suites = [release, `${release}-backports`]
    writeFileSync(
      join(work, 'sources.list'),
      suites.map((suite) => `deb [signed-by=${KEYS}] ${mirror()} ${suite} main\n`).join(''),
    )
    // A list of sources and a state of its own: what the system knows stays as it is.
    const settings = [
      'Acquire::Retries=3',
      'APT::Sandbox::User=root',
      `Dir::Etc::SourceList=${work}/sources.list`,
      'Dir::Etc::SourceParts=-',
      `Dir::State::Lists=${work}/lists`,
      `Dir::Cache=${work}`,
    ].flatMap((setting) => ['-o', setting])
    run(work, 'apt-get', '-qq', ...settings, 'update')
    run(work, 'apt-get', '-qq', ...settings, 'download', 'valkey-server', 'valkey-tools')
    for (const file of readdirSync(work).filter((name) => name.endsWith('.deb')))
      run(work, 'dpkg-deb', '--extract', file, 'unpacked')
    // Moved into place when complete: what is interrupted leaves nothing that looks whole.
    renameSync(join(work, 'unpacked'), folder)
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

function run(cwd: string, program: string, ...args: readonly string[]): void {
  const { status, error } = spawnSync(program, args, { cwd, stdio: ['ignore', process.stderr, process.stderr] })
  if (status !== 0) throw new Error(`${program} ${args.join(' ')} failed`, { cause: error })
}

const folder = join(cacheFolder(), 'valkey')
const unpacked = join(folder, 'usr/bin/valkey-server')
const onPath = programPath('valkey-server')
if (onPath === undefined && !existsSync(unpacked)) fetchValkey(folder)
process.stdout.write(`${onPath ?? unpacked}\n`)
