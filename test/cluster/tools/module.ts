import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** What `go mod edit -json` says of a go.mod, as far as we read it. */
interface GoMod {
  readonly Go: string
  readonly Require: readonly { readonly Path: string; readonly Version: string }[]
}

/**
 * Makes the folder with the go.mod and go.sum that build the programs `packages` of Kubernetes `version`, such as
 * v1.35.4. Its own libraries stand in its go.mod as v0.0.0, replaced by folders of its repository: elsewhere they are
 * modules, v0.35.4. Throws what Go says where there is no such version.
 */
export function makeKubernetesModule(go: string, folder: string, version: string, packages: readonly string[]): void {
  mkdirSync(dirname(folder), { recursive: true })
  // Moved into place when complete, like what is built from it.
  const partial = mkdtempSync(`${folder}.`)
  const run = (...args: readonly string[]): string => {
    const { status, stdout, stderr } = spawnSync(go, args, {
      cwd: partial,
      env: { ...process.env, GOFLAGS: '', GOWORK: 'off' },
      encoding: 'utf8',
    })
    if (status !== 0) throw new Error(`go ${args.join(' ')}: ${stderr || stdout}`)
    return stdout
  }
  try {
    const source = JSON.parse(run('mod', 'download', '-json', `k8s.io/kubernetes@${version}`)) as { GoMod: string }
    const { Go, Require } = JSON.parse(run('mod', 'edit', '-json', source.GoMod)) as GoMod
    const libraries = Require.filter((one) => one.Version === 'v0.0.0').map(({ Path }) => Path)
    const required = [
      `k8s.io/kubernetes ${version}`,
      ...libraries.map((path) => `${path} ${version.replace(/^v1/, 'v0')}`),
    ]
    const lines = ['module resqueue.test/kubernetes', `go ${Go}`, ...required.map((one) => `require ${one}`)]
    writeFileSync(join(partial, 'go.mod'), `${lines.join('\n')}\n`)
    // With the version: without it everything is upgraded.
    run('get', '-tool', ...packages.map((one) => `${one}@${version}`))
    renameSync(partial, folder)
  } finally {
    rmSync(partial, { recursive: true, force: true })
  }
}
