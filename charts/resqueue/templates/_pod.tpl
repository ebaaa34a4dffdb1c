{{/*
The pod template of workers, controller and test: one place for security contexts, environment, probes and volumes.
Takes: root · pod (its settings) · name · component · pool · container · args · env, volumes, mounts (YAML lists) · grace (seconds) ·
annotations (a map) · ports (whether it listens).
*/}}
{{- define "resqueue.pod" -}}
{{- $root := .root -}}
{{- $pod := .pod -}}
metadata:
  labels:
    {{- include "resqueue.podLabels" (dict "root" $root "component" .component "pool" .pool "more" $pod.podLabels) | nindent 4 }}
  {{- $annotations := mergeOverwrite (deepCopy .annotations) (default dict $pod.podAnnotations) }}
  {{- with $annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{ include "resqueue.podSpec" . }}
{{- end -}}

{{- define "resqueue.podSpec" -}}
{{- $root := .root -}}
{{- $pod := .pod -}}
spec:
  serviceAccountName: {{ include "resqueue.serviceAccountName" . | quote }}
  automountServiceAccountToken: {{ $pod.serviceAccount.automountToken }}
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ .grace }}
  {{- with include "resqueue.pullSecrets" (concat ($root.Values.imagePullSecrets | default list) ($pod.imagePullSecrets | default list)) | fromYamlArray }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $pod.podSecurityContext }}
  securityContext:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $pod.initContainers }}
  initContainers:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: {{ .container | quote }}
      {{- $own := $pod.image | default dict }}
      {{- $image := mergeOverwrite (deepCopy $root.Values.image) $own }}
      {{- if and (or $own.repository $own.tag) (not $own.digest) }}{{- $_ := set $image "digest" "" }}{{- end }}
      image: {{ include "resqueue.image" (dict "image" $image "version" $root.Chart.AppVersion) | quote }}
      imagePullPolicy: {{ $image.pullPolicy | quote }}
      {{- with .command | default $pod.command }}
      command:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      args:
        {{- toYaml .args | nindent 8 }}
      env:
        {{- include "resqueue.overridden" (dict "ours" (.env | fromYamlArray) "theirs" $pod.env "key" "name") | nindent 8 }}
      {{- with $pod.envFrom }}
      envFrom:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- if .ports }}
      ports:
        - { name: http, containerPort: 9090, protocol: TCP }
      {{- range $probe := list "startupProbe" "livenessProbe" "readinessProbe" }}
      {{- with get $pod $probe }}
      {{ $probe }}:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- end }}
      {{- end }}
      {{- with $pod.resources }}
      resources:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $pod.securityContext }}
      securityContext:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      terminationMessagePolicy: FallbackToLogsOnError
      volumeMounts:
        {{- $mounts := concat (list (dict "name" "tmp" "mountPath" "/tmp")) (.mounts | fromYamlArray) }}
        {{- include "resqueue.overridden" (dict "ours" $mounts "theirs" $pod.volumeMounts "key" "mountPath") | nindent 8 }}
    {{- with $pod.extraContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  volumes:
    {{- $tmp := dict }}
    {{- with $pod.tmpSizeLimit }}{{- $_ := set $tmp "sizeLimit" (include "resqueue.plain" .) }}{{- end }}
    {{- $volumes := concat (list (dict "name" "tmp" "emptyDir" $tmp)) (.volumes | fromYamlArray) }}
    {{- include "resqueue.overridden" (dict "ours" $volumes "theirs" $pod.volumes "key" "name") | nindent 4 }}
  {{- range $field := list "nodeSelector" "tolerations" "affinity" "dnsConfig" "hostAliases" }}
  {{- with get $pod $field }}
  {{ $field }}:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- end }}
  {{- range $field := list "priorityClassName" "runtimeClassName" "dnsPolicy" }}
  {{- with get $pod $field }}
  {{ $field }}: {{ . | quote }}
  {{- end }}
  {{- end }}
  {{- with $pod.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- range . }}
    {{- $constraint := deepCopy . }}
    {{- if not .labelSelector }}
    {{- $_ := set $constraint "labelSelector" (dict "matchLabels" (include "resqueue.selectorLabels" $ | fromYaml)) }}
    {{- end }}
    - {{- toYaml $constraint | nindent 6 }}
    {{- end }}
  {{- end }}
{{- end -}}

{{/*
Two lists as one, in which an entry of the second replaces one of the first with the same key: Kubernetes refuses a list in which
both stand. Takes: ours, theirs, key.
*/}}
{{- define "resqueue.overridden" -}}
{{- $keys := list -}}
{{- range .theirs -}}{{- $keys = append $keys (get . $.key) -}}{{- end -}}
{{- $all := list -}}
{{- range .ours -}}{{- if not (has (get . $.key) $keys) -}}{{- $all = append $all . -}}{{- end -}}{{- end -}}
{{- concat $all (.theirs | default list) | toYaml -}}
{{- end -}}

{{/* Secrets for the registry, given by name or as maps, each once: Kubernetes refuses a list with one twice. */}}
{{- define "resqueue.pullSecrets" -}}
{{- $secrets := list -}}
{{- range . -}}{{- $secrets = append $secrets (kindIs "string" . | ternary (dict "name" .) .) -}}{{- end -}}
{{- uniq $secrets | toYaml -}}
{{- end -}}

{{/* Who this pod is, for `resqueue work` and `resqueue control`. Takes: container. */}}
{{- define "resqueue.identityEnv" -}}
- name: POD_NAME
  valueFrom: { fieldRef: { fieldPath: metadata.name } }
- name: POD_NAMESPACE
  valueFrom: { fieldRef: { fieldPath: metadata.namespace } }
- name: POD_UID
  valueFrom: { fieldRef: { fieldPath: metadata.uid } }
- name: CONTAINER_NAME
  value: {{ .container | quote }}
{{- end -}}

{{/* Annotations by which a Prometheus without the operator finds the metrics. */}}
{{- define "resqueue.scrapeAnnotations" -}}
{{- if and .Values.metrics.annotations (not .Values.metrics.podMonitor.enabled) -}}
prometheus.io/scrape: "true"
prometheus.io/port: "9090"
prometheus.io/path: /metrics
{{- end -}}
{{- end -}}

{{/* A Deployment's fields beside its pod. Takes: root, component, pool, pod. */}}
{{- define "resqueue.deploymentFields" -}}
selector:
  matchLabels:
    {{- include "resqueue.selectorLabels" . | nindent 4 }}
{{- with .pod.strategy }}
strategy:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if not (kindIs "invalid" .pod.revisionHistoryLimit) }}
revisionHistoryLimit: {{ int .pod.revisionHistoryLimit }}
{{- end }}
{{- end -}}
