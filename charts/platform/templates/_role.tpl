{{/*
A role of the program as it runs in the cluster: its settings, its pods, and their Service. Takes root (the chart's
context), component, account, role (the words after `platform serve`), deployment (its values), settings (its own, as
YAML), talksToCluster (whether pods get the account's token), port (of what it serves to others; none where it serves
nothing but its health) and ready (the path and the port that say whether a pod can be asked).
*/}}
{{- define "platform.role" -}}
{{- $root := .root }}
{{- $deployment := .deployment }}
{{- $name := printf "%s-%s" $root.Release.Name .component }}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ $name }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "platform.labels" $root | nindent 4 }}
    platform.component: {{ .component }}
data:
  settings.yaml: |
    {{- .settings | nindent 4 }}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $name }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "platform.labels" $root | nindent 4 }}
    platform.component: {{ .component }}
spec:
  replicas: {{ $deployment.replicas }}
  selector:
    matchLabels:
      app.kubernetes.io/instance: {{ $root.Release.Name }}
      platform.component: {{ .component }}
  template:
    metadata:
      labels:
        {{- include "platform.labels" $root | nindent 8 }}
        platform.component: {{ .component }}
      annotations:
        # Settings are read at the start.
        checksum/settings: {{ .settings | sha256sum }}
    spec:
      serviceAccountName: {{ .account }}
      automountServiceAccountToken: {{ .talksToCluster }}
      enableServiceLinks: false
      # What is under way is let end.
      terminationGracePeriodSeconds: 30
      securityContext:
        runAsNonRoot: true
        runAsUser: 1000
        runAsGroup: 1000
        fsGroup: 1000
        seccompProfile: {type: RuntimeDefault}
      {{- with $root.Values.image.pullSecrets }}
      imagePullSecrets:
        {{- range . }}
        - name: {{ . | quote }}
        {{- end }}
      {{- end }}
      {{- with $deployment.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $deployment.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      containers:
        - name: {{ .component }}
          image: {{ include "platform.image" $root | quote }}
          imagePullPolicy: {{ $root.Values.image.pullPolicy }}
          command: [platform]
          args: [serve, {{ .role }}, --config, /app/config/settings.yaml]
          env:
            - name: HOME
              value: /var/lib/platform
            # Who it is in the history and in the Lease.
            - name: USER
              value: {{ $name | quote }}
            - name: PLATFORM_DATABASE__URL
              valueFrom:
                secretKeyRef:
                  name: {{ required "database.urlSecret.name is required" $root.Values.database.urlSecret.name | quote }}
                  key: {{ required "database.urlSecret.key is required" $root.Values.database.urlSecret.key | quote }}
            {{- range $path, $secret := $deployment.secretSettings }}
            - name: PLATFORM_{{ $path | replace "." "__" | upper }}
              valueFrom:
                secretKeyRef:
                  name: {{ $secret.name | quote }}
                  key: {{ $secret.key | quote }}
            {{- end }}
          ports:
            {{- with .port }}
            - name: http
              containerPort: {{ . }}
            {{- end }}
            # Health, readiness and metrics.
            - name: health
              containerPort: {{ $deployment.healthPort }}
          readinessProbe:
            httpGet: {path: {{ .ready.path }}, port: {{ .ready.port }}}
            periodSeconds: 10
          livenessProbe:
            httpGet: {path: /health, port: health}
            periodSeconds: 30
          resources:
            {{- toYaml $deployment.resources | nindent 12 }}
          securityContext:
            allowPrivilegeEscalation: false
            privileged: false
            readOnlyRootFilesystem: true
            capabilities: {drop: [ALL]}
          volumeMounts:
            - {name: config, mountPath: /app/config, readOnly: true}
            - {name: state, mountPath: /var/lib/platform}
            - {name: tmp, mountPath: /tmp}
            {{- if $deployment.filesSecret }}
            - {name: secrets, mountPath: /app/secrets, readOnly: true}
            {{- end }}
      volumes:
        - name: config
          configMap: {name: {{ $name }}}
        # Repositories that were fetched; they are fetched again when it is lost.
        - name: state
          emptyDir: {sizeLimit: 2Gi}
        - name: tmp
          emptyDir: {sizeLimit: 1Gi}
        {{- if $deployment.filesSecret }}
        - name: secrets
          # 0440: for the user and the group of the pod.
          secret: {secretName: {{ $deployment.filesSecret | quote }}, defaultMode: 288}
        {{- end }}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ $name }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "platform.labels" $root | nindent 4 }}
    platform.component: {{ .component }}
spec:
  type: ClusterIP
  selector:
    app.kubernetes.io/instance: {{ $root.Release.Name }}
    platform.component: {{ .component }}
  ports:
    {{- with .port }}
    - name: http
      port: {{ . }}
      targetPort: http
    {{- end }}
    - name: health
      port: {{ $deployment.healthPort }}
      targetPort: health
{{- end }}
