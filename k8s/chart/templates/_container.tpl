{{/*
The exit codes after which another run ends the same until somebody changes something: a Job gives up at once. (All of
them: lockkeeper --help.)
*/}}
{{- define "lockkeeper.permanentCodes" -}}
[64, 65, 66, 73, 76, 77, 78, 80, 81, 84, 86, 87, 126, 127]
{{- end -}}

{{- define "lockkeeper.isSqlite" -}}
{{- if hasPrefix "sqlite" .Values.database.url }}true{{ end -}}
{{- end -}}

{{/*
The port of each host in the URL, among its parameters, in PGPORT, and in the URL of the way around a pooler.
*/}}
{{- define "lockkeeper.databasePorts" -}}
{{- /* Of a URL in a Secret nothing is known here. A rule without ports would open all of them. */ -}}
{{- $ports := empty .Values.database.urlKey | ternary list (list 5432) -}}
{{- $urls := list .Values.database.url -}}
{{- range .Values.extraEnv -}}
{{- if eq .name "LOCKKEEPER_DIRECT_URL" -}}
{{- $urls = append $urls (.value | default "") -}}
{{- else if eq .name "PGPORT" -}}
{{- range regexFindAll "[0-9]+" (.value | default "" | toString) -1 -}}
{{- $ports = append $ports (int .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range compact $urls -}}
{{- $hosts := regexReplaceAll "^[^:]*://([^@/?]*@)?" . "" | regexFind "^[^/?]*" -}}
{{- range splitList "," $hosts -}}
{{- $ports = append $ports (regexFind ":[0-9]+$" . | trimPrefix ":" | default "5432" | int) -}}
{{- end -}}
{{- range regexFind "[?&]port=[0-9,]+" . | trimAll "?&port=" | splitList "," | compact -}}
{{- $ports = append $ports (int .) -}}
{{- end -}}
{{- end -}}
{{- $ports | uniq | toJson -}}
{{- end -}}

{{/*
Whether a file with the password, or with the URL that has it, is mounted.
*/}}
{{- define "lockkeeper.hasPassword" -}}
{{- if or .Values.database.existingSecret .Values.database.password }}true{{ end -}}
{{- end -}}

{{- define "lockkeeper.hasCa" -}}
{{- if or .Values.database.tls.existingSecret .Values.database.tls.existingConfigMap }}true{{ end -}}
{{- end -}}

{{/*
Where the password, or the URL, and the CA are: files of one volume.
*/}}
{{- define "lockkeeper.secretsPath" -}}
/run/secrets/{{ include "lockkeeper.chartName" . }}
{{- end -}}

{{/*
How the database is reached, for Lockkeeper and for the application's container alike.
*/}}
{{- define "lockkeeper.env" -}}
{{- $database := .Values.database -}}
{{- if $database.urlKey -}}
- name: DATABASE_URL_FILE
  value: {{ include "lockkeeper.secretsPath" . }}/url
{{- else -}}
- name: DATABASE_URL
  value: {{ $database.url | quote }}
{{- end }}
{{- range $name, $key := dict "PGUSER" $database.userKey "PGHOST" $database.hostKey }}
{{- if $key }}
- name: {{ $name }}
  valueFrom:
    secretKeyRef:
      name: {{ $database.existingSecret }}
      key: {{ $key }}
{{- end }}
{{- end }}
{{- if and (include "lockkeeper.hasPassword" .) (not $database.urlKey) }}
- name: DATABASE_PASSWORD_FILE
  value: {{ include "lockkeeper.secretsPath" . }}/password
{{- end }}
{{- if include "lockkeeper.hasCa" . }}
- name: PGSSLMODE
  value: verify-full
- name: PGSSLROOTCERT
  value: {{ include "lockkeeper.secretsPath" . }}/ca.crt
{{- end }}
{{- end -}}

{{/*
The same for its volumeMounts.
*/}}
{{- define "lockkeeper.volumeMounts" -}}
{{- if or (include "lockkeeper.hasPassword" .) (include "lockkeeper.hasCa" .) }}
- name: {{ include "lockkeeper.chartName" . }}-secrets
  mountPath: {{ include "lockkeeper.secretsPath" . }}
  readOnly: true
{{- end }}
{{- if include "lockkeeper.isSqlite" . }}
- name: {{ include "lockkeeper.chartName" . }}-data
  mountPath: {{ .Values.data.mountPath }}
{{- end }}
{{- end -}}

{{/*
The settings of the run that migrates; extraEnv may have none of them.
*/}}
{{- define "lockkeeper.migrateEnv" -}}
{{ include "lockkeeper.env" . }}
{{- with .Values.timeouts }}
- name: LOCKKEEPER_WAIT_TIMEOUT
  value: {{ int .wait }}s
- name: LOCKKEEPER_AUTH_GRACE
  value: {{ int .authGrace }}s
- name: LOCKKEEPER_LOCK_TIMEOUT
  value: {{ int .lock }}s
- name: LOCKKEEPER_DEADLINE
  value: {{ int .deadline }}s
- name: LOCKKEEPER_SHUTDOWN_GRACE
  value: {{ int .shutdownGrace }}s
{{- end }}
{{- if .Values.backups.enabled }}
- name: LOCKKEEPER_BACKUP_DIR
  value: /backups
- name: LOCKKEEPER_BACKUP_KEEP
  value: {{ int .Values.backups.keep | quote }}
{{- else }}
- name: LOCKKEEPER_BACKUP
  value: "off"
{{- end }}
{{- end -}}

{{/*
What the two containers have in common: of (scope, whether the backups are mounted).
*/}}
{{- define "lockkeeper.containerRest" -}}
{{- $withBackups := index . 1 -}}
{{- with index . 0 -}}
{{- with .Values.resources -}}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
{{- $backups := and $withBackups .Values.backups.enabled }}
{{- $mounts := include "lockkeeper.volumeMounts" . | trim }}
{{- if or $mounts $backups .Values.migrations.existingConfigMap .Values.extraVolumeMounts }}
volumeMounts:
  {{- with $mounts }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- if $backups }}
  - name: {{ include "lockkeeper.chartName" . }}-backups
    mountPath: /backups
  {{- end }}
  {{- if .Values.migrations.existingConfigMap }}
  - name: {{ include "lockkeeper.chartName" . }}-migrations
    mountPath: /migrations
    readOnly: true
  {{- end }}
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/*
The environment of (scope, what the chart sets): the chart's own names go before those of extraEnvFrom.
*/}}
{{- define "lockkeeper.environment" -}}
{{- with (index . 0).Values.extraEnvFrom -}}
envFrom:
  {{- toYaml . | nindent 2 }}
{{ end -}}
env:
  {{- index . 1 | nindent 2 }}
  {{- with (index . 0).Values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/*
An item of initContainers, or of a Job's containers: migrates. The image's entrypoint needs no command and, for
`upgrade head`, no arguments. The result is in the termination message.
*/}}
{{- define "lockkeeper.initContainer" -}}
{{- $args := .Values.extraArgs | empty | ternary list (prepend .Values.extraArgs "upgrade") -}}
{{ include "lockkeeper.containerWith" (list . $args) }}
{{- end -}}

{{/*
The same with other arguments, of (scope, arguments).
*/}}
{{- define "lockkeeper.containerWith" -}}
{{- $args := index . 1 -}}
{{- with index . 0 -}}
- name: {{ include "lockkeeper.containerName" . }}
  image: {{ include "lockkeeper.image" .Values.image | quote }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  {{- with $args }}
  args:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- include "lockkeeper.environment" (list . (include "lockkeeper.migrateEnv" .)) | nindent 2 }}
  {{- include "lockkeeper.containerRest" (list . true) | nindent 2 }}
{{- end -}}
{{- end -}}

{{- define "lockkeeper.waitForJob" -}}
{{- add (int .Values.job.activeDeadlineSeconds) 300 -}}
{{- end -}}

{{/*
An item of initContainers: changes nothing, waits until all revisions of its image are applied. It waits for longer
than the Job may take: a pod that gave up earlier would only be started again, later and later.
*/}}
{{- define "lockkeeper.waitContainer" -}}
- name: {{ include "lockkeeper.waitContainerName" . }}
  image: {{ include "lockkeeper.image" .Values.image | quote }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  args: [wait, --migrated]
  {{- include "lockkeeper.environment" (list . (include "lockkeeper.readingEnv" (list . (include "lockkeeper.waitForJob" .)))) | nindent 2 }}
  {{- include "lockkeeper.containerRest" (list . false) | nindent 2 }}
{{- end -}}

{{/*
The settings of what only reads, of (scope, seconds to wait).
*/}}
{{- define "lockkeeper.readingEnv" -}}
{{ include "lockkeeper.env" (index . 0) }}
- name: LOCKKEEPER_WAIT_TIMEOUT
  value: {{ index . 1 }}s
- name: LOCKKEEPER_AUTH_GRACE
  value: {{ int (index . 0).Values.timeouts.authGrace }}s
{{- end -}}

{{/*
The items of initContainers that come before ours, in each pod that runs Lockkeeper. The sidecars come first: what follows
may need them. With restartPolicy Always the kubelet starts the next container when such a one is ready, and ends it with
the pod; as an ordinary container it would keep a Job's pod running for ever.
*/}}
{{- define "lockkeeper.containersBefore" -}}
{{- range .Values.sidecars }}
{{ toYaml (list (merge (dict "restartPolicy" "Always") .)) }}
{{- end }}
{{- with .Values.extraInitContainers }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/*
The items of initContainers that belong to the mode: none in mode hook.
*/}}
{{- define "lockkeeper.initContainers" -}}
{{- if ne .Values.mode "hook" -}}
{{- with include "lockkeeper.containersBefore" . | trim -}}
{{ . }}
{{ end -}}
{{ include (eq .Values.mode "job" | ternary "lockkeeper.waitContainer" "lockkeeper.initContainer") . }}
{{- end -}}
{{- end -}}
