import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** A certificate and its key, as files in PEM. */
export interface Pair {
  readonly cert: string
  readonly key: string
}

export interface Subject {
  /** The file's name. */
  readonly name: string
  /** The user, to Kubernetes. */
  readonly commonName: string
  /** The groups, to Kubernetes. */
  readonly organizations?: readonly string[]
  /** For servers: `DNS:localhost`, `IP:127.0.0.1`. */
  readonly altNames?: readonly string[]
}

/** An authority of the test's own, in a folder. Everything is valid for two days. */
export interface Authority {
  /** Its certificate. */
  readonly cert: string
  readonly key: string
  issue(subject: Subject): Promise<Pair>
}

const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2']

/** Makes an authority with `openssl`. */
export async function makeAuthority(dir: string): Promise<Authority> {
  const ca = pair(dir, 'ca')
  await request(ca, '/CN=resqueue-test-ca', ['-addext', 'keyUsage=critical,keyCertSign,cRLSign'])
  return authorityIn(dir)
}

/** The authority that `makeAuthority` made there. */
export function authorityIn(dir: string): Authority {
  const ca = pair(dir, 'ca')
  return {
    ...ca,
    async issue({ name, commonName, organizations = [], altNames = [] }) {
      const made = pair(dir, name)
      const subject = [...organizations.map((group) => `/O=${group}`), `/CN=${commonName}`].join('')
      const usage = altNames.length > 0 ? 'serverAuth,clientAuth' : 'clientAuth'
      const names = altNames.length > 0 ? ['-addext', `subjectAltName=${altNames.join(',')}`] : []
      const extensions = ['-addext', 'basicConstraints=critical,CA:FALSE', '-addext', `extendedKeyUsage=${usage}`]
      await request(made, subject, ['-CA', ca.cert, '-CAkey', ca.key, ...extensions, ...names])
      return made
    },
  }
}

/** Makes the pair of keys with which the API server signs the tokens of service accounts. */
export async function makeTokenKeys(dir: string): Promise<{ privateKey: string; publicKey: string }> {
  const privateKey = join(dir, 'sa.key')
  const publicKey = join(dir, 'sa.pub')
  const curve = ['-pkeyopt', 'ec_paramgen_curve:prime256v1', '-out', privateKey]
  await openssl('genpkey', '-algorithm', 'EC', ...curve)
  await openssl('pkey', '-in', privateKey, '-pubout', '-out', publicKey)
  return { privateKey, publicKey }
}

function pair(dir: string, name: string): Pair {
  return { cert: join(dir, `${name}.crt`), key: join(dir, `${name}.key`) }
}

function request(files: Pair, subject: string, more: readonly string[]): Promise<void> {
  return openssl('req', '-x509', ...KEY, '-subj', subject, '-keyout', files.key, '-out', files.cert, ...more)
}

async function openssl(...args: readonly string[]): Promise<void> {
  await run('openssl', args)
}
