{{/*
Redis connections of the controller by name: what its configuration says (entry), and the projected volume with the files that this
names (sources; none where everything is in the values). Empty where the environment says all: the release's own Redis, for every namespace.
*/}}
{{- define "resqueue.connections" -}}
{{- $allowed := .Values.redis.allowedNamespaces | default (list "*") -}}
{{- $all := deepCopy (.Values.controller.connections | default dict) -}}
{{- if and (include "resqueue.ownRedis" .) (or $all (not (has "*" $allowed))) -}}
{{- $_ := set $all "default" (dict "url" (include "resqueue.redisUrl" .) "namespace" .Values.redis.namespace "tls" (merge (dict) .Values.redis.tls (dict "caKey" "")) "allowedNamespaces" $allowed "maxRecoveries" .Values.workerDefaults.maxRecoveries
    "sentinelUsername" .Values.redis.sentinelUsername
    "existingSecret" (dict "name" (include "resqueue.redisSecret" .) "key" (include "resqueue.redisUrlKey" .) "passwordKey" (include "resqueue.redisPasswordKey" .) "sentinelPasswordKey" (include "resqueue.sentinelPasswordKey" .))) -}}
{{- end -}}
{{- $connections := dict -}}
{{- range $name, $redis := $all -}}
{{- $folder := printf "/etc/resqueue/connections/%s" $name -}}
{{- $entry := dict "namespace" ($redis.namespace | default "resque") "allowedNamespaces" $redis.allowedNamespaces -}}
{{- include "resqueue.checkHashTag" (dict "url" $redis.url "namespace" $entry.namespace "field" (printf "controller.connections.%s.namespace" $name)) -}}
{{- $sources := list -}}
{{- range $field := list "url" "username" "sentinelUsername" "db" "maxRecoveries" -}}
{{- $value := get $redis $field -}}
{{- if not (or (kindIs "invalid" $value) (eq ($value | toString) "")) -}}{{- $_ := set $entry $field $value -}}{{- end -}}
{{- end -}}
{{- $secret := $redis.existingSecret | default dict -}}
{{- if kindIs "string" $secret -}}{{- $secret = dict "name" $secret -}}{{- end -}}
{{- if and (not $redis.url) (not $secret.name) -}}
{{- fail (printf "controller.connections.%s does not say where its Redis is: set url, or existingSecret with the URL." $name) -}}
{{- end -}}
{{- if and (not $secret.name) (or $secret.passwordKey $secret.sentinelPasswordKey) -}}
{{- fail (printf "controller.connections.%s.existingSecret: passwordKey and sentinelPasswordKey are keys of a Secret. Set its name." $name) -}}
{{- end -}}
{{- if and $redis.url $secret.name (not (or $secret.passwordKey $secret.sentinelPasswordKey)) -}}
{{- fail (printf "controller.connections.%s: url and existingSecret both say where its Redis is. Leave url empty, or set existingSecret.passwordKey to take only the password from the Secret." $name) -}}
{{- end -}}
{{- if $secret.name -}}
{{- $items := list -}}
{{- if not $redis.url -}}
{{- $items = append $items (dict "key" ($secret.key | default "url") "path" "url") -}}
{{- $_ := set $entry "urlFile" (printf "%s/url" $folder) -}}
{{- end -}}
{{- with $secret.passwordKey -}}
{{- $items = append $items (dict "key" . "path" "password") -}}
{{- $_ := set $entry "passwordFile" (printf "%s/password" $folder) -}}
{{- end -}}
{{- with $secret.sentinelPasswordKey -}}
{{- $items = append $items (dict "key" . "path" "sentinel-password") -}}
{{- $_ := set $entry "sentinelPasswordFile" (printf "%s/sentinel-password" $folder) -}}
{{- end -}}
{{- $sources = append $sources (dict "secret" (dict "name" $secret.name "items" $items)) -}}
{{- end -}}
{{- $tls := $redis.tls | default dict -}}
{{- if $tls.existingSecret -}}
{{- /* Without a file the controller would speak plaintext: the certificate authority has the default that redis.tls has. */ -}}
{{- if not (hasKey $tls "caKey") -}}{{- $_ := set $tls "caKey" "ca.crt" -}}{{- end -}}
{{- $items := list -}}
{{- range $key, $file := dict "caKey" "caFile" "certKey" "certFile" "keyKey" "keyFile" -}}
{{- with get $tls $key -}}
{{- $items = append $items (dict "key" . "path" (printf "%s.pem" (trimSuffix "File" $file))) -}}
{{- $_ := set $entry $file (printf "%s/%s.pem" $folder (trimSuffix "File" $file)) -}}
{{- end -}}
{{- end -}}
{{- $sources = append $sources (dict "secret" (dict "name" $tls.existingSecret "items" $items)) -}}
{{- end -}}
{{- $_ := set $connections $name (dict "entry" $entry "sources" $sources) -}}
{{- end -}}
{{- toYaml $connections -}}
{{- end -}}
