{{- define "lockkeeper.argoHooks" -}}
{{- range $key, $_ := merge (dict) .Values.job.annotations .Values.commonAnnotations -}}
{{- if hasPrefix "argocd.argoproj.io/hook" $key }}true{{ end -}}
{{- end -}}
{{- end -}}

{{- define "lockkeeper.wrongHooks" -}}
{{- $wrong := list -}}
{{- if and (eq .Values.mode "hook") (include "lockkeeper.argoHooks" .) -}}
{{- $wrong = append $wrong "job.annotations has argocd.argoproj.io/hook, and mode hook has Helm's hooks, which Argo CD leaves out where it finds its own: take the annotation out (Argo CD runs Helm's hooks before it syncs), or set mode: job" -}}
{{- end -}}
{{- toJson $wrong -}}
{{- end -}}

{{/*
A changed ConfigMap restarts no pod by itself: the pods have to change with it.
*/}}
{{- define "lockkeeper.wrongMigrations" -}}
{{- $wrong := list -}}
{{- with .Values.migrations -}}
{{- if and .revision (not .existingConfigMap) -}}
{{- $wrong = append $wrong "migrations.revision is for the files of a ConfigMap: name it in migrations.existingConfigMap, or leave migrations.revision empty" -}}
{{- else if and .existingConfigMap (eq $.Values.mode "initContainer") (not (include "lockkeeper.migrationsRevision" $)) -}}
{{- $wrong = append $wrong (printf "migrations.existingConfigMap: Helm finds no ConfigMap %s in namespace %s, and could not restart the pods when its files change: create it before; where Helm renders without a cluster (helm template, Argo CD), set migrations.revision, and change it with the files" .existingConfigMap $.Release.Namespace) -}}
{{- end -}}
{{- end -}}
{{- toJson $wrong -}}
{{- end -}}

{{- define "lockkeeper.wrongApp" -}}
{{- $wrong := list -}}
{{- with .Values.app -}}
{{- if and .service.enabled (not .ports) (not .service.ports) -}}
{{- $wrong = append $wrong "app.service.enabled, and neither app.ports nor app.service.ports has a port: name one in app.ports" -}}
{{- end -}}
{{- $budget := .podDisruptionBudget -}}
{{- $limits := list -}}
{{- range $key := list "minAvailable" "maxUnavailable" -}}
{{- if not (kindIs "invalid" (index $budget $key)) -}}
{{- $limits = append $limits $key -}}
{{- end -}}
{{- end -}}
{{- if and $budget.enabled (ne (len $limits) 1) -}}
{{- $wrong = append $wrong "app.podDisruptionBudget has to have one of minAvailable and maxUnavailable: set the other one to null" -}}
{{- end -}}
{{- $scaling := .autoscaling -}}
{{- if and $scaling.enabled (gt (int $scaling.minReplicas) (int $scaling.maxReplicas)) -}}
{{- $wrong = append $wrong (printf "app.autoscaling.minReplicas (%d) is more than app.autoscaling.maxReplicas (%d)" (int $scaling.minReplicas) (int $scaling.maxReplicas)) -}}
{{- end -}}
{{- if and $scaling.enabled (not $scaling.metrics) (not (dig "requests" "cpu" "" .resources)) -}}
{{- $wrong = append $wrong "app.autoscaling compares with app.resources.requests.cpu, which is empty: set it, or app.autoscaling.metrics" -}}
{{- end -}}
{{- end -}}
{{- toJson (.Values.app.enabled | ternary $wrong list) -}}
{{- end -}}
