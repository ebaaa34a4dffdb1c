import { createSign, generateKeyPairSync, randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from './ports.ts'
import { startRedis, type RedisServer } from './redis.ts'
import { own } from './scope.ts'

/** A Redis that speaks TLS only. `cert` and `key` serve as a client's as well; `cert` is its own authority. */
export interface TlsRedis {
  readonly server: RedisServer
  /** `rediss://127.0.0.1:…` */
  readonly url: string
  /** Files in PEM. */
  readonly ca: string
  readonly cert: string
  readonly key: string
}

/** What a certificate is for: host names, and IPv4 addresses. */
export type CertificateNames = readonly string[]

/**
 * Starts a Redis with a fresh certificate, for 127.0.0.1 and localhost unless others are named. `clientAuth`: clients
 * must show one as well. `args` are added to its command line.
 */
export async function startTlsRedis(
  options: { clientAuth?: boolean; names?: CertificateNames; args?: readonly string[] } = {},
): Promise<TlsRedis> {
  const dir = await mkdtemp(join(tmpdir(), 'resqueue-tls-'))
  own('certificate', () => rm(dir, { recursive: true, force: true }))
  const cert = join(dir, 'cert.pem')
  const key = join(dir, 'key.pem')
  const made = selfSigned(options.names ?? ['localhost', '127.0.0.1'])
  await Promise.all([writeFile(cert, made.cert), writeFile(key, made.key, { mode: 0o600 })])
  const port = await freePort(10_000)
  const args = [...tlsArgs(port, { cert, key }, options), ...(options.args ?? [])]
  return { server: await startRedis({ port, args }), url: `rediss://127.0.0.1:${port}`, ca: cert, cert, key }
}

/** What makes a redis-server, or a Sentinel, speak TLS only. */
export function tlsArgs(
  port: number,
  { cert, key }: Pick<TlsRedis, 'cert' | 'key'>,
  { clientAuth = false }: { clientAuth?: boolean } = {},
): string[] {
  const files = ['--tls-cert-file', cert, '--tls-key-file', key, '--tls-ca-cert-file', cert]
  const outgoing = ['--tls-replication', 'yes']
  return [
    '--port',
    '0',
    '--tls-port',
    `${port}`,
    ...files,
    ...outgoing,
    '--tls-auth-clients',
    clientAuth ? 'yes' : 'no',
  ]
}

const OID = {
  ecdsaWithSha256: [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02],
  commonName: [0x55, 0x04, 0x03],
  basicConstraints: [0x55, 0x1d, 0x13],
  subjectAltName: [0x55, 0x1d, 0x11],
}

/** A certificate by hand, in DER, because Node has no call that makes one. Valid for a day. */
function selfSigned(holders: CertificateNames): { cert: string; key: string } {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const algorithm = sequence(oid(OID.ecdsaWithSha256))
  const name = sequence(der(0x31, sequence(oid(OID.commonName), der(0x0c, Buffer.from('resqueue test')))))
  const hour = 3_600_000
  const names = sequence(
    ...holders.map((holder) =>
      isIP(holder) === 4 ? der(0x87, Buffer.from(holder.split('.').map(Number))) : der(0x82, Buffer.from(holder)),
    ),
  )
  const toBeSigned = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))), // version 3
    der(0x02, Buffer.concat([Buffer.from([1]), randomBytes(8)])), // serial number
    algorithm,
    name,
    sequence(time(Date.now() - hour), time(Date.now() + 24 * hour)),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    der(
      0xa3,
      sequence(
        sequence(
          oid(OID.basicConstraints),
          der(0x01, Buffer.from([0xff])),
          der(0x04, sequence(der(0x01, Buffer.from([0xff])))),
        ),
        sequence(oid(OID.subjectAltName), der(0x04, names)),
      ),
    ),
  )
  const signature = createSign('sha256').update(toBeSigned).sign(privateKey)
  const certificate = sequence(toBeSigned, algorithm, der(0x03, Buffer.concat([Buffer.from([0]), signature])))
  const lines = certificate.toString('base64').replaceAll(/.{64}(?=.)/g, '$&\n')
  return {
    cert: `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`,
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  }
}

function der(tag: number, content: Buffer): Buffer {
  const size = content.length
  const length = size < 128 ? [size] : size < 256 ? [0x81, size] : [0x82, size >> 8, size & 0xff]
  return Buffer.concat([Buffer.from([tag, ...length]), content])
}

function sequence(...parts: readonly Buffer[]): Buffer {
  return der(0x30, Buffer.concat(parts))
}

function oid(bytes: readonly number[]): Buffer {
  return der(0x06, Buffer.from(bytes))
}

function time(ms: number): Buffer {
  const digits = new Date(ms).toISOString().replaceAll(/\D/g, '')
  return der(0x17, Buffer.from(`${digits.slice(2, 14)}Z`))
}
