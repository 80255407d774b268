{{/*
The chart's name, or the alias that a parent chart gave it: often in camel case, because .Subcharts.orders-db is no template.
*/}}
{{- define "lockkeeper.chartName" -}}
{{- regexReplaceAll "([a-z0-9])([A-Z])" .Chart.Name "${1}-${2}" | lower | replace "_" "-" -}}
{{- end -}}

{{/*
What is in one pod with that of other aliases, of (scope, name, the beginning of its name below an alias).
*/}}
{{- define "lockkeeper.inPod" -}}
{{- $alias := include "lockkeeper.chartName" (index . 0) -}}
{{- eq $alias "lockkeeper" | ternary (index . 1) (printf "%s-%s" (index . 2) $alias) | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/*
Every name begins like this. Below another chart it always has the alias in it: two of them must never share a name.
*/}}
{{- define "lockkeeper.basename" -}}
{{- $name := .Values.nameOverride | default (include "lockkeeper.chartName" .) -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if and .Chart.IsRoot (contains $name .Release.Name) -}}
{{- .Release.Name -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name -}}
{{- end -}}
{{- end -}}

{{/*
A name of at most 63 characters, of (scope, suffix). What is cut off is in a checksum: two aliases below a long release
name differ in their ends alone, and would share a volume.
*/}}
{{- define "lockkeeper.named" -}}
{{- $base := include "lockkeeper.basename" (index . 0) -}}
{{- $suffix := index . 1 -}}
{{- $room := int (sub 63 (len $suffix)) -}}
{{- if gt (len $base) $room -}}
{{- printf "%s-%s%s" ($base | trunc (int (sub $room 9)) | trimSuffix "-") (sha256sum $base | trunc 8) $suffix -}}
{{- else -}}
{{- print $base $suffix -}}
{{- end -}}
{{- end -}}

{{- define "lockkeeper.fullname" -}}
{{- include "lockkeeper.named" (list . "") -}}
{{- end -}}

{{/*
What the Job of mode hook needs is made anew for each of its runs: its Secret and service account are not the
application's, so they have another name.
*/}}
{{- define "lockkeeper.hookName" -}}
{{- include "lockkeeper.named" (list . "-migrate") -}}
{{- end -}}

{{- define "lockkeeper.backupsClaim" -}}
{{- .Values.backups.existingClaim | default (include "lockkeeper.named" (list . "-backups")) -}}
{{- end -}}

{{- define "lockkeeper.dataClaim" -}}
{{- .Values.data.existingClaim | default (include "lockkeeper.named" (list . "-data")) -}}
{{- end -}}

{{- define "lockkeeper.containerName" -}}
{{- include "lockkeeper.inPod" (list . "migrate" "migrate") -}}
{{- end -}}

{{- define "lockkeeper.waitContainerName" -}}
{{- include "lockkeeper.inPod" (list . "wait-for-migration" "wait-for") -}}
{{- end -}}

{{- define "lockkeeper.selectorLabels" -}}
app.kubernetes.io/name: {{ .Values.nameOverride | default (include "lockkeeper.chartName" .) | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "lockkeeper.labels" -}}
{{ include "lockkeeper.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/*
For the pods that run Lockkeeper: what the NetworkPolicy selects, also in another chart's Deployment.
*/}}
{{- define "lockkeeper.podLabels" -}}
{{ include "lockkeeper.inPod" (list . "lockkeeper" "lockkeeper") }}: {{ include "lockkeeper.fullname" . }}
{{- end -}}

{{/*
The annotations of (scope, those of the object).
*/}}
{{- define "lockkeeper.annotations" -}}
{{- $scope := index . 0 -}}
{{- with merge (dict) (index . 1) $scope.Values.commonAnnotations -}}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/*
What the hook Job needs, created before it. Nothing of it holds data. Not hook-succeeded: Helm removes such hooks also when
it has waited long enough for the Job, or is interrupted, and the Job goes on, with pods that find neither account nor
Secret. So they stay until the next run.
*/}}
{{- define "lockkeeper.hookAnnotations" -}}
helm.sh/hook: pre-install,pre-upgrade
helm.sh/hook-weight: {{ sub (int .Values.hook.weight) 10 | quote }}
helm.sh/hook-delete-policy: before-hook-creation
{{- end -}}

{{- define "lockkeeper.image" -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag }}
{{- end -}}
{{- end -}}
