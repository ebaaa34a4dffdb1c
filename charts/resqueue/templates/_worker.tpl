{{/* The arguments of `resqueue work`, as a YAML list. Takes a pool. */}}
{{- define "resqueue.workArgs" -}}
{{- $jobs := .jobs | default (ternary "/app/demo-jobs" "/app/jobs" .demo) -}}
{{- $args := list "work" (printf "--queues=%s" (join "," .queues)) (printf "--jobs=%s" $jobs) "--port=9090" -}}
{{- range $flag, $field := dict "concurrency" "concurrency" "isolation" "isolation" "jobs-per-child" "jobsPerChild" "job-memory" "jobMemory"
    "timeout" "timeout" "hooks" "hooks" "failure-backend" "failureBackend" "interval" "intervalSeconds" "max-recoveries" "maxRecoveries"
    "shutdown-timeout" "shutdownTimeoutSeconds" "kill-delay" "killDelaySeconds" "log-level" "logLevel" -}}
{{- $value := get $ $field -}}
{{- if not (or (kindIs "invalid" $value) (eq ($value | toString) "")) -}}
{{- $args = append $args (printf "--%s=%s" $flag (include "resqueue.plain" $value)) -}}
{{- end -}}
{{- end -}}
{{- if not .blocking -}}{{- $args = append $args "--no-blocking" -}}{{- end -}}
{{- range .extraArgs -}}{{- $args = append $args (include "resqueue.plain" .) -}}{{- end -}}
{{- toYaml $args -}}
{{- end -}}

{{/* A number without an exponent, or a text as it is. */}}
{{- define "resqueue.plain" -}}
{{- if kindIs "float64" . -}}
{{- if eq . (floor .) -}}{{- int64 . -}}{{- else -}}{{- . -}}{{- end -}}
{{- else -}}
{{- . -}}
{{- end -}}
{{- end -}}

{{/* Seconds from TERM to KILL: all that the worker may use, and 5 to put jobs back and to leave. Takes a pool. */}}
{{- define "resqueue.gracePeriod" -}}
{{- addf .shutdownTimeoutSeconds .killDelaySeconds 5 | ceil | int64 -}}
{{- end -}}

{{/* MiB that the worker and its jobs may use at once: 96 for the worker, jobMemory and 60 for each slot. Takes a pool. */}}
{{- define "resqueue.memoryNeed" -}}
{{- add 96 (mul (int64 .concurrency) (add 60 (include "resqueue.mebibytes" .jobMemory))) -}}
{{- end -}}

{{/* The memory limit, or nothing. Takes a pool. */}}
{{- define "resqueue.memoryLimit" -}}
{{- with .resources }}{{- with .limits }}{{- with .memory }}{{- include "resqueue.plain" . }}{{- end }}{{- end }}{{- end }}
{{- end -}}

{{/* Refuses a pool whose parts do not fit together. Takes: root, pool, pod. */}}
{{- define "resqueue.checkPool" -}}
{{- $limit := include "resqueue.memoryLimit" .pod -}}
{{- if and .pod.jobMemory $limit (not .pod.allowMemoryOvercommit) -}}
{{- $need := include "resqueue.memoryNeed" .pod | int64 -}}
{{- if gt $need (include "resqueue.mebibytes" $limit | int64) -}}
{{- fail (printf "workers.%s: %d jobs of jobMemory %v need up to %d MiB, and resources.limits.memory is %v. Raise the limit, lower concurrency or jobMemory, or set allowMemoryOvercommit=true if your jobs never peak together." .pool (int .pod.concurrency) .pod.jobMemory $need $limit) -}}
{{- end -}}
{{- end -}}
{{- if and .pod.scaling.enabled (gt (int .pod.scaling.minReplicas) (int .pod.scaling.maxReplicas)) -}}
{{- fail (printf "workers.%s.scaling: minReplicas %d is more than maxReplicas %d." .pool (int .pod.scaling.minReplicas) (int .pod.scaling.maxReplicas)) -}}
{{- end -}}
{{- $target := .pod.scaling.target | default dict -}}
{{- if and .pod.scaling.enabled $target.jobsPerReplica (or $target.latencySeconds $target.latencySecondsByQueue) -}}
{{- fail (printf "workers.%s.scaling.target: jobsPerReplica excludes latencySeconds and latencySecondsByQueue. Say what the pool is scaled by: one of them." .pool) -}}
{{- end -}}
{{- if and .pod.scaling.enabled (not .root.Values.controller.drain) (include "resqueue.ownController" .root) -}}
{{- with or (and .pod.scaling.protect "protect") (and (dig "scaleDown" "drain" false .pod.scaling) "scaleDown.drain") -}}
{{- fail (printf "workers.%s.scaling.%s needs the verb `patch` on pods, and controller.drain=false goes without it. Take it out of the pool, or set controller.drain=true; pools that shall not drain then say scaling.scaleDown.drain=false." $.pool .) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* A queue that the pool serves, for `helm test`; nothing where only its names could be guessed. Takes a pool. */}}
{{- define "resqueue.testQueue" -}}
{{- $queues := list -}}
{{- range .queues -}}
{{- if not (or (hasPrefix "!" .) (regexMatch "[?\\[]" .)) -}}{{- $queues = append $queues (replace "*" "helm-test" .) -}}{{- end -}}
{{- end -}}
{{- first $queues | default "" -}}
{{- end -}}
