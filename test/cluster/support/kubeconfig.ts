import { readFileSync } from 'node:fs'

/** Who speaks to the API server. */
export type Identity =
  /** In `system:masters`, or whoever the user's own kubeconfig names. */
  | 'admin'
  /** A token of this service account, `<namespace>/<name>`, which must exist. */
  | { readonly serviceAccount: string }
  /** Impersonated by the admin. */
  | { readonly user: string; readonly groups?: readonly string[] }

/** What it takes to speak to an API server. All in PEM. */
export interface Access {
  /** `https://127.0.0.1:6443` */
  readonly server: string
  readonly ca?: string
  readonly cert?: string
  readonly key?: string
  readonly token?: string
  /** The name that the server's certificate must bear, where it is not that of the address. */
  readonly serverName?: string
  readonly impersonate?: { readonly user: string; readonly groups: readonly string[] }
}

/** A kubeconfig as JSON, which is YAML too. */
export function writeKubeconfig(access: Access, namespace = 'default'): string {
  const { impersonate } = access
  const user = {
    ...(access.cert && { 'client-certificate-data': encode(access.cert) }),
    ...(access.key && { 'client-key-data': encode(access.key) }),
    ...(access.token && { token: access.token }),
    ...(impersonate && { as: impersonate.user, 'as-groups': impersonate.groups }),
  }
  const cluster = {
    server: access.server,
    ...(access.ca && { 'certificate-authority-data': encode(access.ca) }),
    ...(access.serverName && { 'tls-server-name': access.serverName }),
  }
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'test', cluster }],
    users: [{ name: 'test', user }],
    contexts: [{ name: 'test', context: { cluster: 'test', user: 'test', namespace } }],
    'current-context': 'test',
  }
  return `${JSON.stringify(config, null, 2)}\n`
}

interface Flat {
  readonly clusters?: readonly { readonly cluster: Readonly<Record<string, string>> }[]
  readonly users?: readonly { readonly user: Readonly<Record<string, unknown>> }[]
}

/** Reads what `kubectl config view --raw --flatten --minify -o json` prints. */
export function readKubeconfig(json: string): Access {
  const flat = JSON.parse(json) as Flat
  const cluster = flat.clusters?.[0]?.cluster
  const user = flat.users?.[0]?.user ?? {}
  if (cluster?.['server'] === undefined) throw new Error('The kubeconfig has no current context')
  const text = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined)
  const decode = (value: unknown): string | undefined => {
    const data = text(value)
    return data === undefined ? undefined : Buffer.from(data, 'base64').toString()
  }
  const tokenFile = text(user['tokenFile'])
  const access = {
    server: cluster['server'],
    ca: decode(cluster['certificate-authority-data']),
    serverName: text(cluster['tls-server-name']),
    cert: decode(user['client-certificate-data']),
    key: decode(user['client-key-data']),
    token: text(user['token']) ?? (tokenFile === undefined ? undefined : readFileSync(tokenFile, 'utf8').trim()),
  }
  if (access.cert === undefined && access.token === undefined)
    throw new Error('The tests need a kubeconfig with a client certificate or a token, as kind and k3d write them')
  return Object.fromEntries(Object.entries(access).filter(([, value]) => value !== undefined)) as unknown as Access
}

function encode(text: string): string {
  return Buffer.from(text).toString('base64')
}
