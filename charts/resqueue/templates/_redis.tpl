{{/* Refuses values that say nothing about where Redis is, or more than one thing. A controller without pools may have none but connections. */}}
{{- define "resqueue.checkRedis" -}}
{{- $redis := .Values.redis -}}
{{- $secret := include "resqueue.redisSecret" . -}}
{{- if $redis.trial.enabled -}}
{{- if or $redis.url $secret -}}
{{- fail "redis.trial.enabled starts a Redis that forgets: it cannot be combined with redis.url or redis.existingSecret. Set redis.trial.enabled=false." -}}
{{- end -}}
{{- else if not (or $redis.url $secret) -}}
{{- if or (include "resqueue.pools" . | fromYaml) (not (and .Values.controller.enabled .Values.controller.connections)) -}}
{{- fail "Say where Redis is: redis.url=redis://host:6379, redis.existingSecret.name with the URL in its key 'url', or redis.trial.enabled=true for a first look." -}}
{{- end -}}
{{- else if and $redis.url $secret (not (or (include "resqueue.redisPasswordKey" .) (include "resqueue.sentinelPasswordKey" .))) -}}
{{- fail "redis.url and redis.existingSecret both say where Redis is. Leave redis.url empty, or set redis.existingSecret.passwordKey to take only the password from the Secret." -}}
{{- end -}}
{{- if and (not $secret) (or (include "resqueue.redisPasswordKey" .) (include "resqueue.sentinelPasswordKey" .)) -}}
{{- fail "redis.existingSecret: passwordKey and sentinelPasswordKey are keys of a Secret. Set redis.existingSecret.name." -}}
{{- end -}}
{{- include "resqueue.checkHashTag" (dict "url" $redis.url "namespace" $redis.namespace "field" "redis.namespace") -}}
{{- end -}}

{{/* Refuses a Redis Cluster with a namespace that has no hash tag, as every process would. Takes url, namespace, and the field that is to be changed. */}}
{{- define "resqueue.checkHashTag" -}}
{{- if and (regexMatch "^rediss?-cluster:" (.url | default "")) (not (regexMatch "^[^{]*{[^}]+}" .namespace)) -}}
{{- fail (printf "%s: a Redis Cluster needs a hash tag, so that all keys share one slot. Set it to '{%s}'." .field (.namespace | default "resque")) -}}
{{- end -}}
{{- end -}}

{{/* Whether the release has a Redis of its own, beside the controller's connections; empty where it has none. */}}
{{- define "resqueue.ownRedis" -}}
{{- if or (include "resqueue.redisUrl" .) (include "resqueue.redisSecret" .) -}}true{{- end -}}
{{- end -}}

{{/* The Secret's name: redis.existingSecret is a map, or just the name. */}}
{{- define "resqueue.redisSecret" -}}
{{- if kindIs "string" .Values.redis.existingSecret -}}
{{- .Values.redis.existingSecret -}}
{{- else if .Values.redis.existingSecret -}}
{{- .Values.redis.existingSecret.name | default "" -}}
{{- end -}}
{{- end -}}

{{/* The Secret's key with the URL. */}}
{{- define "resqueue.redisUrlKey" -}}
{{- if kindIs "map" .Values.redis.existingSecret -}}{{- .Values.redis.existingSecret.key | default "url" -}}{{- else -}}url{{- end -}}
{{- end -}}

{{/* The Secret's key with the password, or nothing. */}}
{{- define "resqueue.redisPasswordKey" -}}
{{- if kindIs "map" .Values.redis.existingSecret -}}{{- .Values.redis.existingSecret.passwordKey | default "" -}}{{- end -}}
{{- end -}}

{{/* The Secret's key with the password of the Sentinels, or nothing. */}}
{{- define "resqueue.sentinelPasswordKey" -}}
{{- if kindIs "map" .Values.redis.existingSecret -}}{{- .Values.redis.existingSecret.sentinelPasswordKey | default "" -}}{{- end -}}
{{- end -}}

{{/* The name of the trial Redis and of its Service, which has to begin with a letter. */}}
{{- define "resqueue.trialName" -}}
{{- include "resqueue.componentName" (dict "root" . "suffix" "trial-redis" "base" (regexReplaceAll "^[0-9]" (include "resqueue.fullname" .) "r${0}")) -}}
{{- end -}}

{{/* The URL as far as the values know it; empty where it comes from a Secret. */}}
{{- define "resqueue.redisUrl" -}}
{{- if .Values.redis.trial.enabled -}}
redis://{{ include "resqueue.trialName" . }}:6379
{{- else -}}
{{- .Values.redis.url | default "" -}}
{{- end -}}
{{- end -}}

{{/* The environment that tells any verb of `resqueue` where Redis is, as a list; empty where the release has none. */}}
{{- define "resqueue.redisEnv" -}}
{{- if include "resqueue.ownRedis" . -}}
{{- $secret := include "resqueue.redisSecret" . -}}
- name: REDIS_URL
  {{- with include "resqueue.redisUrl" . }}
  value: {{ . | quote }}
  {{- else }}
  valueFrom:
    secretKeyRef:
      name: {{ $secret | quote }}
      key: {{ include "resqueue.redisUrlKey" . | quote }}
  {{- end }}
- name: PREFIX
  value: {{ .Values.redis.namespace | quote }}
{{- if include "resqueue.redisPasswordKey" . }}
- name: REDIS_PASSWORD_FILE
  value: /etc/resqueue/redis/password
{{- end }}
{{- with .Values.redis.sentinelUsername }}
- name: REDIS_SENTINEL_USERNAME
  value: {{ . | quote }}
{{- end }}
{{- if include "resqueue.sentinelPasswordKey" . }}
- name: REDIS_SENTINEL_PASSWORD_FILE
  value: /etc/resqueue/redis/sentinel-password
{{- end }}
{{- with .Values.redis.tls }}
{{- if .existingSecret }}
{{- with .caKey }}
- name: REDIS_TLS_CA
  value: /etc/resqueue/redis-tls/ca.crt
{{- end }}
{{- with .certKey }}
- name: REDIS_TLS_CERT
  value: /etc/resqueue/redis-tls/tls.crt
{{- end }}
{{- with .keyKey }}
- name: REDIS_TLS_KEY
  value: /etc/resqueue/redis-tls/tls.key
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Volumes with what Redis' Secrets hold, as a list; empty where nothing is mounted. */}}
{{- define "resqueue.redisVolumes" -}}
{{- $password := include "resqueue.redisPasswordKey" . -}}
{{- $sentinelPassword := include "resqueue.sentinelPasswordKey" . -}}
{{- if or $password $sentinelPassword }}
- name: redis
  secret:
    secretName: {{ include "resqueue.redisSecret" . | quote }}
    items:
      {{- with $password }}
      - { key: {{ . | quote }}, path: password }
      {{- end }}
      {{- with $sentinelPassword }}
      - { key: {{ . | quote }}, path: sentinel-password }
      {{- end }}
{{- end }}
{{- with .Values.redis.tls }}
{{- if .existingSecret }}
- name: redis-tls
  secret:
    secretName: {{ .existingSecret | quote }}
    items:
      {{- with .caKey }}
      - { key: {{ . | quote }}, path: ca.crt }
      {{- end }}
      {{- with .certKey }}
      - { key: {{ . | quote }}, path: tls.crt }
      {{- end }}
      {{- with .keyKey }}
      - { key: {{ . | quote }}, path: tls.key }
      {{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Where these volumes are mounted. */}}
{{- define "resqueue.redisMounts" -}}
{{- if or (include "resqueue.redisPasswordKey" .) (include "resqueue.sentinelPasswordKey" .) }}
- { name: redis, mountPath: /etc/resqueue/redis, readOnly: true }
{{- end }}
{{- with .Values.redis.tls }}
{{- if .existingSecret }}
- { name: redis-tls, mountPath: /etc/resqueue/redis-tls, readOnly: true }
{{- end }}
{{- end }}
{{- end -}}

{{/* The ports of the servers that a URL names, as a list; those that Redis and Sentinel have by default where it names none. Takes a URL, or ''. */}}
{{- define "resqueue.portsOf" -}}
{{- $sentinel := regexMatch "^rediss?-sentinel:" . -}}
{{- $ports := list -}}
{{- $servers := regexReplaceAll "[/?].*$" (regexReplaceAll "^([a-z-]+://)?(.*@)?" . "") "" -}}
{{- range splitList "," $servers -}}
{{- $ports = append $ports (regexFind ":[0-9]+$" . | trimPrefix ":" | default (ternary "26379" "6379" $sentinel) | int) -}}
{{- end -}}
{{- if $sentinel -}}{{- $ports = append $ports 6379 -}}{{- end -}}
{{- uniq $ports | toYaml -}}
{{- end -}}

{{/* The ports of the release's Redis, as a list. */}}
{{- define "resqueue.redisPorts" -}}
{{- if and .Values.networkPolicy.redis.ports (not .Values.redis.trial.enabled) -}}
{{- toYaml .Values.networkPolicy.redis.ports -}}
{{- else -}}
{{- include "resqueue.redisUrl" . | include "resqueue.portsOf" -}}
{{- end -}}
{{- end -}}

{{/* The ports of the controller's further connections, as a list; empty where there are none. */}}
{{- define "resqueue.connectionPorts" -}}
{{- $ports := list -}}
{{- range .Values.controller.connections -}}
{{- $ports = concat $ports (.url | default "" | include "resqueue.portsOf" | fromYamlArray) -}}
{{- end -}}
{{- if $ports -}}{{- $ports = .Values.networkPolicy.redis.ports | default $ports -}}{{- end -}}
{{- uniq $ports | toYaml -}}
{{- end -}}
