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
