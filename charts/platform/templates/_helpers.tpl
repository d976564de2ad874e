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

{{- define "platform.admin.account" -}}
{{ .Values.admin.serviceAccount.name | default (printf "%s-admin" .Release.Name) }}
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

{{/*
What a process is told, but for what is secret. Takes root, deployment (its values) and own (what its role adds). Every
role follows the same declaration unless told otherwise.
*/}}
{{- define "platform.settings" -}}
{{- $values := .root.Values }}
{{- $source := .deployment.source | default $values.controller.deployment.source }}
{{- $common := dict
  "source" (required "controller.deployment.source is required: where platform.yaml is" $source)
  "environment" $values.environment
  "policy" (dict "enforce_production" $values.policy.enforceProduction)
  "observability" (dict "listen" (printf "0.0.0.0:%d" (int .deployment.healthPort)))
}}
{{- mergeOverwrite (deepCopy .deployment.settings) $common .own | toYaml }}
{{- end }}
