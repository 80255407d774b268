{{/*
Items of volumes, of (scope, name of the Secret, whether the pod migrates, whether it runs Lockkeeper at all).
*/}}
{{- define "lockkeeper.volumesOf" -}}
{{- $secret := index . 1 -}}
{{- $migrates := index . 2 -}}
{{- $runs := index . 3 -}}
{{- with index . 0 }}
{{- if or (include "lockkeeper.hasPassword" .) (include "lockkeeper.hasCa" .) }}
- name: {{ include "lockkeeper.chartName" . }}-secrets
  projected:
    # Read by fsGroup.
    defaultMode: 0440
    sources:
      {{- if include "lockkeeper.hasPassword" . }}
      - secret:
          name: {{ $secret }}
          items:
            {{- if .Values.database.urlKey }}
            - key: {{ .Values.database.urlKey }}
              path: url
            {{- else }}
            - key: {{ .Values.database.secretKey }}
              path: password
            {{- end }}
      {{- end }}
      {{- with .Values.database.tls }}
      {{- if .existingSecret }}
      - secret:
          name: {{ .existingSecret }}
          items:
            - key: {{ .key }}
              path: ca.crt
      {{- else if .existingConfigMap }}
      - configMap:
          name: {{ .existingConfigMap }}
          items:
            - key: {{ .key }}
              path: ca.crt
      {{- end }}
      {{- end }}
{{- end }}
{{- if include "lockkeeper.isSqlite" . }}
- name: {{ include "lockkeeper.chartName" . }}-data
  persistentVolumeClaim:
    claimName: {{ include "lockkeeper.dataClaim" . }}
{{- end }}
{{- if and $migrates .Values.backups.enabled }}
- name: {{ include "lockkeeper.chartName" . }}-backups
  persistentVolumeClaim:
    claimName: {{ include "lockkeeper.backupsClaim" . }}
{{- end }}
{{- if and $runs .Values.migrations.existingConfigMap }}
- name: {{ include "lockkeeper.chartName" . }}-migrations
  configMap:
    name: {{ .Values.migrations.existingConfigMap }}
{{- end }}
{{- if $runs }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/*
Items of the volumes of the application's pod, for the init containers of the mode and for lockkeeper.volumeMounts.
*/}}
{{- define "lockkeeper.volumes" -}}
{{- $secret := .Values.database.existingSecret | default (include "lockkeeper.fullname" .) -}}
{{- include "lockkeeper.volumesOf" (list . $secret (eq .Values.mode "initContainer") (ne .Values.mode "hook")) | trim -}}
{{- end -}}

{{- define "lockkeeper.podSecurityContext" -}}
{{- toYaml .Values.podSecurityContext -}}
{{- end -}}

{{/*
The rest of a pod's spec, of (scope, name of the service account of the chart's own).
*/}}
{{- define "lockkeeper.podRest" -}}
{{- $own := index . 1 -}}
{{- with index . 0 -}}
{{- $values := .Values -}}
serviceAccountName: {{ .Values.serviceAccount.name | default (.Values.serviceAccount.create | ternary $own "default") }}
automountServiceAccountToken: false
# Variables of services would stand beside our own.
enableServiceLinks: false
securityContext:
  {{- include "lockkeeper.podSecurityContext" . | nindent 2 }}
{{- range $key := list "imagePullSecrets" "nodeSelector" "affinity" "tolerations" "topologySpreadConstraints" "priorityClassName" "hostAliases" "dnsConfig" }}
{{- with index $values $key }}
{{ $key }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end -}}
{{- end -}}

{{/*
The checksum of the migrations that come from a ConfigMap, or the name that migrations.revision gives them. Its files are
not among the values, so the cluster is asked; where none can be, lockkeeper.wrongMigrations demands the name.
*/}}
{{- define "lockkeeper.migrationsRevision" -}}
{{- with .Values.migrations -}}
{{- if and .existingConfigMap .revision -}}
{{- .revision -}}
{{- else if .existingConfigMap -}}
{{- with lookup "v1" "ConfigMap" $.Release.Namespace .existingConfigMap -}}
{{- pick . "data" "binaryData" | toJson | sha256sum -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
For the pods whose init container reads the migrations of a ConfigMap: other files, other pods.
*/}}
{{- define "lockkeeper.podAnnotations" -}}
{{- if ne .Values.mode "hook" -}}
{{- with include "lockkeeper.migrationsRevision" . -}}
checksum/{{ include "lockkeeper.inPod" (list $ "migrations" "migrations") }}: {{ . | quote }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
The pod's metadata, of (scope, component): app, or one that does nothing but run Lockkeeper. Our labels go before those of
the values.
*/}}
{{- define "lockkeeper.podMetadata" -}}
{{- $component := index . 1 -}}
{{- with index . 0 -}}
{{- $labels := merge (dict "app.kubernetes.io/component" $component) (include "lockkeeper.selectorLabels" . | fromYaml) -}}
{{- $annotations := dict -}}
{{- if eq $component "app" -}}
{{- $annotations = include "lockkeeper.podAnnotations" . | fromYaml -}}
{{- else -}}
{{- $labels = merge $labels .Values.job.podLabels -}}
{{- $annotations = merge $annotations .Values.job.podAnnotations -}}
{{- end -}}
{{- if or (ne $component "app") (eq .Values.mode "initContainer") -}}
{{- $labels = merge $labels (include "lockkeeper.podLabels" . | fromYaml) -}}
{{- end -}}
labels:
  {{- toYaml (merge $labels .Values.podLabels) | nindent 2 }}
{{- with merge $annotations .Values.podAnnotations .Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
{{- end -}}

{{/*
A claim that outlives the release, of (scope, name, annotations, its values, access modes).
*/}}
{{- define "lockkeeper.claim" -}}
{{- $values := index . 3 -}}
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: {{ index . 1 }}
  labels:
    {{- include "lockkeeper.labels" (index . 0) | nindent 4 }}
  {{- include "lockkeeper.annotations" (list (index . 0) (merge (index . 2) $values.annotations)) | nindent 2 }}
spec:
  accessModes: {{ index . 4 | toJson }}
  {{- with $values.storageClass }}
  storageClassName: {{ . | quote }}
  {{- end }}
  resources:
    requests:
      storage: {{ $values.size }}
{{- end -}}
