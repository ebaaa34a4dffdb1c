import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test as base } from 'vitest'
import { parseAllDocuments } from 'yaml'
import { programPath, toolPath } from '../cluster/tools/tools.ts'
import { ROOT } from '../support/process.ts'

/** Any part of a manifest. */
// oxlint-disable-next-line typescript/no-explicit-any -- manifests are looked at in many depths
export type Yaml = any

export interface Manifest {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly labels: Record<string, string> }
  readonly spec: Yaml
  readonly [field: string]: Yaml
}

export interface Run {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export interface RenderOptions {
  readonly release?: string
  readonly namespace?: string
  /** Value files beside `values`, which goes last. */
  readonly files?: readonly string[]
  readonly chart?: string
}

export interface Helm {
  /** Runs helm; never rejects because of its exit code. */
  run(args: readonly string[]): Promise<Run>
  /** `helm template` with these values; throws what helm said where it refuses. */
  render(values: object, options?: RenderOptions): Promise<Rendered>
  /** What helm says when it refuses these values; throws where it does not. */
  refusal(values: object, options?: RenderOptions): Promise<string>
  /** NOTES.txt of an installation with these values. */
  notes(values: object, options?: RenderOptions): Promise<string>
}

export const CHART: string = join(ROOT, 'charts', 'resqueue')

/** Values that every rendering of a pool needs. */
export const REDIS = { redis: { url: 'redis://redis:6379' } } as const

/** Helm as `make cluster-tools` builds it, else the one on the PATH. */
export const helmPath = (): string | undefined =>
  existsSync(toolPath('helm')) ? toolPath('helm') : programPath('helm')

/** Ends a program's run with its output. */
export function runProgram(program: string, args: readonly string[], cwd: string = ROOT): Promise<Run> {
  return new Promise((resolve) => {
    execFile(program, args, { cwd, maxBuffer: 1 << 26 }, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : 1
      resolve({ code, stdout, stderr: stderr || (error?.message ?? '') })
    })
  })
}

/** `test` with Helm; reported as not run where there is none. */
export const test = base.extend<{ helm: Helm; folder: string }>({
  folder: async ({}, use) => {
    const folder = await mkdtemp(join(tmpdir(), 'resqueue-chart-'))
    await use(folder)
    await rm(folder, { recursive: true })
  },
  helm: async ({ folder, skip }, use) => {
    const program = helmPath()
    if (program === undefined) return skip('Helm is not there: run `make cluster-tools`')
    await use(helmIn(program, folder))
  },
})

function helmIn(program: string, folder: string): Helm {
  let files = 0
  const run = (args: readonly string[]): Promise<Run> => runProgram(program, args)
  const withValues = async (
    verb: readonly string[],
    values: object,
    { release = 'rq', namespace = 'jobs', files: more = [], chart = CHART }: RenderOptions = {},
  ): Promise<Run> => {
    const file = join(folder, `values-${files++}.yaml`)
    await writeFile(file, JSON.stringify(values))
    const given = [...more, file].flatMap((one) => ['--values', one])
    return run([...verb, release, chart, '--namespace', namespace, ...given])
  }
  return {
    run,
    render: async (values, options) => {
      const { code, stdout, stderr } = await withValues(['template'], values, options)
      if (code !== 0) throw new Error(stderr)
      return new Rendered(stdout)
    },
    refusal: async (values, options) => {
      const { code, stdout, stderr } = await withValues(['template'], values, options)
      if (code === 0) throw new Error(`Helm took it: ${stdout}`)
      return stderr
    },
    notes: async (values, options) => {
      const { code, stdout, stderr } = await withValues(['install', '--dry-run=client'], values, options)
      if (code !== 0) throw new Error(stderr)
      return stdout.slice(stdout.indexOf('NOTES:'))
    },
  }
}

/** Manifests, read as YAML 1.1, which takes an unquoted `y` for a boolean as some parsers of Kubernetes tools do. */
export class Rendered {
  readonly text: string
  readonly manifests: readonly Manifest[]

  constructor(text: string) {
    this.text = text
    this.manifests = parseAllDocuments(text, { version: '1.1' })
      .map((document) => {
        if (document.errors.length > 0) throw new Error(`${document.errors.join('\n')}\n${text}`)
        return document.toJS() as Manifest | null
      })
      .filter((manifest) => manifest !== null)
  }

  all(kind: string): readonly Manifest[] {
    return this.manifests.filter((manifest) => manifest.kind === kind)
  }

  /** The manifest of that kind whose name ends with `name`. */
  find(kind: string, name: string): Manifest | undefined {
    return this.all(kind).find((manifest) => manifest.metadata.name === name)
  }

  /** The same, which has to be there. */
  get(kind: string, name: string): Manifest {
    const found = this.find(kind, name)
    if (found) return found
    throw new Error(
      `No ${kind} ${name}; there are ${this.manifests.map((m) => `${m.kind} ${m.metadata.name}`).join(', ')}`,
    )
  }

  /** The pod's spec of a Deployment. */
  pod(name: string): Yaml {
    return this.get('Deployment', name)['spec'].template.spec
  }

  /** Its first container. */
  container(name: string): Yaml {
    return this.pod(name).containers[0]
  }
}
