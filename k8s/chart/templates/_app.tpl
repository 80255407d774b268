{{/*
The Deployment's strategy, with the server's defaults written out. Only what a release has set itself can it take away
again: `type: Recreate` over a rollingUpdate that the server has filled in is refused by it.
*/}}
{{- define "lockkeeper.strategy" -}}
{{- $strategy := .Values.app.strategy -}}
{{- if eq ($strategy.type | default "RollingUpdate") "RollingUpdate" -}}
{{- $defaults := dict "type" "RollingUpdate" "rollingUpdate" (dict "maxSurge" "25%" "maxUnavailable" "25%") -}}
{{- toYaml (mergeOverwrite $defaults $strategy) -}}
{{- else -}}
{{- toYaml (omit $strategy "rollingUpdate") -}}
{{- end -}}
{{- end -}}

{{/*
The Service's ports: those of the values, or one for each of the application's.
*/}}
{{- define "lockkeeper.servicePorts" -}}
{{- $ports := list -}}
{{- range .Values.app.ports -}}
{{- $name := .name | default (printf "port-%d" (int .containerPort)) -}}
{{- $target := .name | default (int .containerPort) -}}
{{- $ports = append $ports (dict "name" $name "port" (int .containerPort) "targetPort" $target "protocol" (.protocol | default "TCP")) -}}
{{- end -}}
{{- .Values.app.service.ports | default $ports | toJson -}}
{{- end -}}
