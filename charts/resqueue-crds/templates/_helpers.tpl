{{/* The labels of all objects, as a map in YAML. */}}
{{- define "resqueue-crds.labels" -}}
{{- mergeOverwrite (deepCopy (default dict .Values.commonLabels)) (dict "app.kubernetes.io/name" "resqueue-crds" "app.kubernetes.io/instance" .Release.Name "app.kubernetes.io/part-of" "resqueue" "app.kubernetes.io/managed-by" .Release.Service) | toYaml -}}
{{- end -}}
