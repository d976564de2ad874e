{{- define "platform.labels" -}}
app.kubernetes.io/name: platform
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "platform.controller.account" -}}
{{ .Values.controller.serviceAccount.name | default (printf "%s-controller" .Release.Name) }}
{{- end }}

{{- define "platform.weights.account" -}}
{{ .Values.weights.serviceAccount.name | default (printf "%s-weights" .Release.Name) }}
{{- end }}

{{- define "platform.challenges.namespace" -}}
{{ .Values.kubernetes.namespace | default .Release.Namespace }}
{{- end }}

{{- define "platform.isProduction" -}}
{{- if or .Values.policy.enforceProduction (ne .Values.environment "development") }}true{{ end }}
{{- end }}

{{/* The image by tag and digest. The production policy wants a digest: what runs is then what was reviewed. */}}
{{- define "platform.image" -}}
{{- $image := .Values.image }}
{{- $tag := $image.tag | default .Chart.AppVersion }}
{{- if and (include "platform.isProduction" .) (not $image.digest) }}
{{- fail "the production policy wants image.digest (sha256:…)" }}
{{- end }}
{{- $image.repository }}:{{ $tag }}{{ with $image.digest }}@{{ . }}{{ end }}
{{- end }}

{{/* What the process is told, but for what is secret. */}}
{{- define "platform.controller.settings" -}}
{{- $deployment := .Values.controller.deployment }}
{{- $own := dict
  "source" (required "controller.deployment.source is required: where platform.yaml is" $deployment.source)
  "environment" .Values.environment
  "policy" (dict "enforce_production" .Values.policy.enforceProduction)
  "controller" (dict "listen" (printf "0.0.0.0:%d" (int $deployment.port)))
}}
{{- mergeOverwrite (deepCopy $deployment.settings) $own | toYaml }}
{{- end }}
