import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { CNI_FOLDER } from '../../tools/packages.ts'

/** The only node's name, and its address inside the namespaces. */
export const NODE_NAME = 'real'
export const NODE_ADDRESS = '10.99.0.1'
const POD_RANGE = '10.85.0.0/16'

/** Where the parts of the node keep their things, all below one folder. */
export interface Places {
  readonly dir: string
  readonly containerdSocket: string
  readonly containerdConfig: string
  readonly kubeletConfig: string
  readonly proxyConfig: string
  readonly corefile: string
}

/** What the configurations are made from. */
export interface Names {
  readonly dir: string
  readonly cgroup: string
  readonly pauseImage: string
  readonly clientCa: string
  readonly proxyKubeconfig: string
  readonly adminKubeconfig: string
}

/** Writes the configuration of containerd, CNI, kubelet, kube-proxy and CoreDNS. */
export function writeConfigs(names: Names): Places {
  const { dir } = names
  for (const folder of ['cni', 'kubelet', 'containerd', 'run']) mkdirSync(join(dir, folder), { recursive: true })
  const write = (name: string, content: string | object): string => {
    const file = join(dir, name)
    writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content, null, 2))
    return file
  }
  const containerdSocket = join(dir, 'run', 'containerd.sock')
  write('cni/10-pods.conflist', cni(dir))
  write('resolv.conf', '')
  return {
    dir,
    containerdSocket,
    containerdConfig: write('containerd.toml', containerd(dir, containerdSocket, names.pauseImage)),
    kubeletConfig: write('kubelet.json', kubelet(names, containerdSocket)),
    proxyConfig: write('kube-proxy.json', kubeProxy(names.proxyKubeconfig)),
    corefile: write('Corefile', coredns(names.adminKubeconfig)),
  }
}

function cni(dir: string): object {
  const ipam = {
    type: 'host-local',
    subnet: POD_RANGE,
    routes: [{ dst: '0.0.0.0/0' }],
    dataDir: join(dir, 'cni', 'addresses'),
  }
  // One link per pod, routed: on a bridge the answers of a Service would go past the address translation.
  return { cniVersion: '0.4.0', name: 'pods', plugins: [{ type: 'ptp', ipam }] }
}

function containerd(dir: string, socket: string, pauseImage: string): string {
  // restrict_oom_score_adj: without CAP_SYS_RESOURCE runc may not lower the score of the pause container.
  return `version = 2
root = ${JSON.stringify(join(dir, 'containerd'))}
state = ${JSON.stringify(join(dir, 'run', 'containerd'))}
oom_score = 0

[grpc]
  address = ${JSON.stringify(socket)}

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = ${JSON.stringify(pauseImage)}
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = ${JSON.stringify(CNI_FOLDER)}
    conf_dir = ${JSON.stringify(join(dir, 'cni'))}
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
`
}

function kubelet({ dir, cgroup, clientCa }: Names, socket: string): object {
  return {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    address: NODE_ADDRESS,
    authentication: { anonymous: { enabled: false }, webhook: { enabled: true }, x509: { clientCAFile: clientCa } },
    authorization: { mode: 'Webhook' },
    cgroupDriver: 'cgroupfs',
    cgroupRoot: `/${cgroup}`,
    clusterDNS: [NODE_ADDRESS],
    clusterDomain: 'cluster.local',
    containerRuntimeEndpoint: `unix://${socket}`,
    enforceNodeAllocatable: ['none'],
    evictionHard: { 'memory.available': '1Mi' },
    failCgroupV1: false,
    failSwapOn: false,
    // Nothing that nobody uses is thrown away while tests run.
    imageGCHighThresholdPercent: 100,
    imageMinimumGCAge: '24h',
    localStorageCapacityIsolation: false,
    podLogsDir: join(dir, 'logs'),
    readOnlyPort: 0,
    resolvConf: join(dir, 'resolv.conf'),
    volumePluginDir: join(dir, 'volume-plugins'),
  }
}

function kubeProxy(kubeconfig: string): object {
  return {
    apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
    kind: 'KubeProxyConfiguration',
    bindAddress: NODE_ADDRESS,
    clientConnection: { kubeconfig },
    clusterCIDR: POD_RANGE,
    // 0: leave the settings of the kernel alone.
    conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: '0s', tcpCloseWaitTimeout: '0s' },
    healthzBindAddress: '127.0.0.1:10256',
    hostnameOverride: NODE_NAME,
    metricsBindAddress: '127.0.0.1:10249',
    mode: 'nftables',
  }
}

function coredns(kubeconfig: string): string {
  return `.:53 {
  bind ${NODE_ADDRESS}
  errors
  kubernetes cluster.local in-addr.arpa {
    kubeconfig ${kubeconfig}
  }
  cache 5
}
`
}
