{{/* The chart's name. */}}
{{- define "resqueue.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* What the names of all objects begin with: <release>-<chart>, or the release where it contains the chart's name. */}}
{{- define "resqueue.fullname" -}}
{{- $name := include "resqueue.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/*
<fullname>-<suffix> within 63 characters. A name that has to be cut carries a few characters of its hash, so that two long
releases never share an object. Takes: root, suffix, base (instead of fullname, or nothing).
*/}}
{{- define "resqueue.componentName" -}}
{{- $base := .base | default (include "resqueue.fullname" .root) -}}
{{- $room := int (sub 62 (len .suffix)) -}}
{{- if gt (len $base) $room -}}
{{- $base = printf "%s-%s" ($base | trunc (int (sub $room 6)) | trimSuffix "-") ($base | sha256sum | trunc 5) -}}
{{- end -}}
{{- printf "%s-%s" $base .suffix -}}
{{- end -}}

{{/* The labels by which a workload's pods are found; they never change. Takes: root, component, pool (or ''). */}}
{{- define "resqueue.selectorLabels" -}}
{{- $labels := dict "app.kubernetes.io/name" (include "resqueue.name" .root) "app.kubernetes.io/instance" .root.Release.Name "app.kubernetes.io/component" .component -}}
{{- with .pool -}}{{- $_ := set $labels "resqueue.dev/pool" . -}}{{- end -}}
{{- toYaml $labels -}}
{{- end -}}

{{/* All labels of an object. Takes: root, component, pool (or ''), more (a map, or nothing). */}}
{{- define "resqueue.labels" -}}
{{- $labels := dict "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-") "app.kubernetes.io/version" .root.Chart.AppVersion "app.kubernetes.io/part-of" "resqueue" "app.kubernetes.io/managed-by" .root.Release.Service -}}
{{- mergeOverwrite (deepCopy (default dict .root.Values.commonLabels)) (default dict .more) $labels (include "resqueue.selectorLabels" . | fromYaml) | toYaml -}}
{{- end -}}

{{/* The labels of a pod: none that a new version of the chart changes, so that an upgrade restarts only what differs. Takes as above. */}}
{{- define "resqueue.podLabels" -}}
{{- mergeOverwrite (deepCopy (default dict .root.Values.commonLabels)) (default dict .more) (dict "app.kubernetes.io/part-of" "resqueue") (include "resqueue.selectorLabels" . | fromYaml) | toYaml -}}
{{- end -}}

{{/* The metadata that most objects have. Takes: root, component, pool (or ''), name. */}}
{{- define "resqueue.metadata" -}}
name: {{ .name | quote }}
namespace: {{ .root.Release.Namespace | quote }}
labels:
  {{- include "resqueue.labels" . | nindent 2 }}
{{- end -}}

{{/* An image's reference. Takes: image, version (the tag where it names none). */}}
{{- define "resqueue.image" -}}
{{- $name := .image.repository -}}
{{- with .image.registry -}}{{- $name = printf "%s/%s" (trimSuffix "/" .) $name -}}{{- end -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $name .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (default .version .image.tag | toString) -}}
{{- end -}}
{{- end -}}

{{/* The service account of a workload. Takes: pod, name (of the workload). */}}
{{- define "resqueue.serviceAccountName" -}}
{{- if .pod.serviceAccount.create -}}
{{- default .name .pod.serviceAccount.name -}}
{{- else -}}
{{- default "default" .pod.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* The release's controller as WorkerScalers name it; nothing where it does not serve the release's namespace. */}}
{{- define "resqueue.ownController" -}}
{{- $scope := .Values.controller.namespaceScope | default (list .Release.Namespace) -}}
{{- if and .Values.controller.enabled (or (has "*" $scope) (has .Release.Namespace $scope)) -}}
{{- include "resqueue.componentName" (dict "root" . "suffix" "controller") -}}
{{- end -}}
{{- end -}}

{{/* All pools by name, each merged over workerDefaults. A pool that is null is none. */}}
{{- define "resqueue.pools" -}}
{{- $pools := dict -}}
{{- range $name, $own := .Values.workers -}}
{{- if not (kindIs "invalid" $own) -}}
{{- $pool := mergeOverwrite (deepCopy $.Values.workerDefaults) (deepCopy $own) -}}
{{- with $own.scaling -}}{{- with .target -}}{{- $_ := set $pool.scaling "target" . -}}{{- end -}}{{- end -}}
{{- range $pool -}}{{- if kindIs "map" . -}}{{- include "resqueue.dropNulls" . -}}{{- end -}}{{- end -}}
{{- $_ := set $pool "name" (include "resqueue.componentName" (dict "root" $ "suffix" $name)) -}}
{{- $_ := set $pool "demo" (and (not $pool.jobs) $.Values.redis.trial.enabled) -}}
{{- $_ := set $pools $name $pool -}}
{{- end -}}
{{- end -}}
{{- toYaml $pools -}}
{{- end -}}

{{/* The controller's settings. */}}
{{- define "resqueue.controller" -}}
{{- $controller := deepCopy .Values.controller -}}
{{- include "resqueue.dropNulls" $controller -}}
{{- toYaml $controller -}}
{{- end -}}

{{/* Takes out of a map, in place, what is null: a pool takes a field back that workerDefaults set, a values file one of the file before. */}}
{{- define "resqueue.dropNulls" -}}
{{- range $key, $value := . -}}
{{- if kindIs "invalid" $value -}}{{- $_ := unset $ $key -}}
{{- else if kindIs "map" $value -}}{{- include "resqueue.dropNulls" $value -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* A memory quantity in MiB: 512Mi, 1G, 1073741824. A plain number below 1048576 is MiB already (as in --job-memory). */}}
{{- define "resqueue.mebibytes" -}}
{{- $units := dict "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 -}}
{{- $text := . | toString -}}
{{- if kindIs "float64" . -}}{{- $text = . | int64 | toString -}}{{- end -}}
{{- $unit := regexFind "[A-Za-z]+$" $text -}}
{{- $number := regexFind "^[0-9.]+" $text | float64 -}}
{{- if $unit -}}
{{- divf (mulf $number (get $units $unit | default 1)) 1048576 | floor | int64 -}}
{{- else if lt $number 1048576.0 -}}
{{- $number | int64 -}}
{{- else -}}
{{- divf $number 1048576 | floor | int64 -}}
{{- end -}}
{{- end -}}

{{/* Egress to the cluster's name servers, as a list of rules. */}}
{{- define "resqueue.dnsEgress" -}}
- to:
    {{- with .Values.networkPolicy.dns.to }}
    {{- toYaml . | nindent 4 }}
    {{- else }}
    - namespaceSelector:
        matchLabels:
          kubernetes.io/metadata.name: kube-system
    {{- end }}
  ports:
    {{- range .Values.networkPolicy.dns.ports }}
    - { protocol: UDP, port: {{ int . }} }
    - { protocol: TCP, port: {{ int . }} }
    {{- end }}
{{- end -}}
