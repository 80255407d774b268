{{/*
What values.schema.json cannot say. Everything that is wrong is named at once.
*/}}
{{- define "lockkeeper.validate" -}}
{{- $wrong := concat
  (include "lockkeeper.wrongImages" . | fromJsonArray)
  (include "lockkeeper.wrongDatabase" . | fromJsonArray)
  (include "lockkeeper.wrongTimes" . | fromJsonArray)
  (include "lockkeeper.wrongEnv" . | fromJsonArray)
  (include "lockkeeper.wrongVolumes" . | fromJsonArray)
  (include "lockkeeper.wrongHooks" . | fromJsonArray)
  (include "lockkeeper.wrongMigrations" . | fromJsonArray)
  (include "lockkeeper.wrongApp" . | fromJsonArray) -}}
{{- if and (eq .Values.mode "hook") .Values.serviceAccount.create .Values.serviceAccount.name -}}
{{- $wrong = append $wrong "serviceAccount.create makes the account too late for the Job of mode hook: leave serviceAccount.name empty, or create it beforehand and set serviceAccount.create: false" -}}
{{- end -}}
{{- if $wrong -}}
{{- fail (printf "\n\n%s: these values cannot work:\n  %s\n" .Chart.Name (join "\n  " $wrong)) -}}
{{- end -}}
{{- end -}}

{{- define "lockkeeper.wrongImages" -}}
{{- $wrong := list -}}
{{- $images := dict "image" (list .Values.image "the image with your migrations, built FROM lockkeeper") -}}
{{- if .Values.app.enabled -}}
{{- $_ := set $images "app.image" (list .Values.app.image "the application, or set app.enabled: false where another chart's Deployment has the init container") -}}
{{- end -}}
{{- range $name, $image := $images -}}
{{- if not (index $image 0).repository -}}
{{- $wrong = append $wrong (printf "%s.repository is empty: name %s" $name (index $image 1)) -}}
{{- else if not (or (index $image 0).tag (index $image 0).digest) -}}
{{- $wrong = append $wrong (printf "%s.tag is empty: name a release (or set %s.digest), so that all pods run the same" $name $name) -}}
{{- end -}}
{{- end -}}
{{- toJson $wrong -}}
{{- end -}}

{{- define "lockkeeper.wrongDatabase" -}}
{{- $wrong := list -}}
{{- with .Values.database -}}
{{- if and (not .url) (not .urlKey) -}}
{{- $wrong = append $wrong "database.url is empty: set postgres://user@host:5432/name, or sqlite:////data/app.db, or name the key of a Secret in database.urlKey" -}}
{{- else if and .url .urlKey -}}
{{- $wrong = append $wrong "database.url and database.urlKey are both set: keep one of them" -}}
{{- else if .urlKey -}}
{{- else if not (regexMatch "^(postgres(ql)?([+][^:/]*)?://|sqlite([+][^:/]*)?:)" .url) -}}
{{- $wrong = append $wrong "database.url does not begin like a URL of PostgreSQL or SQLite: set postgres://user@host:5432/name, or sqlite:////data/app.db" -}}
{{- else if include "lockkeeper.showsPassword" .url -}}
{{- $wrong = append $wrong "database.url has a password in it, which everybody sees who may read the pod: take it out, and name the Secret that has it in database.existingSecret" -}}
{{- end -}}
{{- range $name := list "urlKey" "userKey" "hostKey" -}}
{{- if and (index $.Values.database $name) (not $.Values.database.existingSecret) -}}
{{- $wrong = append $wrong (printf "database.%s is a key of a Secret: name the Secret in database.existingSecret" $name) -}}
{{- end -}}
{{- if and (ne $name "urlKey") (index $.Values.database $name) $.Values.database.urlKey -}}
{{- $wrong = append $wrong (printf "database.urlKey and database.%s are both set, and the URL goes first: keep one of them" $name) -}}
{{- end -}}
{{- end -}}
{{- if and .userKey (regexMatch "^[^:]*://[^@/?]+@|[?&]user=" .url) -}}
{{- $wrong = append $wrong "database.url has a user, and it goes before database.userKey: keep one of them" -}}
{{- end -}}
{{- if and .hostKey (regexMatch "^[^:]*://([^@/?]*@)?[^/?]|[?&]host=" .url) -}}
{{- $wrong = append $wrong "database.url has a host, and it goes before database.hostKey: write postgres:///name, or leave database.hostKey empty" -}}
{{- end -}}
{{- if and .existingSecret .password -}}
{{- $wrong = append $wrong "database.existingSecret and database.password are both set: keep one of them" -}}
{{- end -}}
{{- if and .tls.existingSecret .tls.existingConfigMap -}}
{{- $wrong = append $wrong "database.tls.existingSecret and database.tls.existingConfigMap are both set: keep one of them" -}}
{{- end -}}
{{- end -}}
{{- if include "lockkeeper.isSqlite" . -}}
{{- $directory := printf "sqlite:///%s/" (trimSuffix "/" .Values.data.mountPath) -}}
{{- if not (hasPrefix $directory .Values.database.url) -}}
{{- $wrong = append $wrong (printf "database.url is not below data.mountPath, and the file would be gone with its pod: set %sNAME.db" $directory) -}}
{{- end -}}
{{- if ne .Values.mode "initContainer" -}}
{{- $wrong = append $wrong (printf "mode is %s, but a Job cannot stop the application that has the SQLite file open: set mode: initContainer" .Values.mode) -}}
{{- end -}}
{{- if include "lockkeeper.hasPassword" . -}}
{{- $wrong = append $wrong "database.existingSecret and database.password are for PostgreSQL: a SQLite file has no password" -}}
{{- end -}}
{{- end -}}
{{- toJson $wrong -}}
{{- end -}}

{{/*
Whether a URL has a password, before its first @ or among its parameters. No message may quote it.
*/}}
{{- define "lockkeeper.showsPassword" -}}
{{- if or (regexMatch "^[A-Za-z0-9+.-]+://[^@/?]*:[^@]*@" .) (regexMatch "[?&](ssl)?password=" .) }}true{{ end -}}
{{- end -}}

{{- define "lockkeeper.wrongTimes" -}}
{{- $wrong := list -}}
{{- $times := .Values.timeouts -}}
{{- $deadline := int $times.deadline -}}
{{- $least := add (int $times.wait) (int $times.lock) | int -}}
{{- if ge $least $deadline -}}
{{- $wrong = append $wrong (printf "timeouts.wait + timeouts.lock (%d s) leave nothing of timeouts.deadline (%d s) to migrate in: set timeouts.deadline above %d" $least $deadline $least) -}}
{{- end -}}
{{- $active := int .Values.job.activeDeadlineSeconds -}}
{{- if and (ne .Values.mode "initContainer") (ge $deadline $active) -}}
{{- $wrong = append $wrong (printf "timeouts.deadline (%d s) is not shorter than job.activeDeadlineSeconds (%d s), which would end the run before it can say why: set job.activeDeadlineSeconds above %d" $deadline $active $deadline) -}}
{{- end -}}
{{- $starts := dict "initContainer" $deadline "job" (include "lockkeeper.waitForJob" . | int) "hook" 0 -}}
{{- $start := index $starts .Values.mode -}}
{{- $progress := int .Values.app.progressDeadlineSeconds -}}
{{- if and .Values.app.enabled (ge $start $progress) -}}
{{- $wrong = append $wrong (printf "app.progressDeadlineSeconds (%d s) is not longer than a pod may wait for the migration (%d s), and the rollout would count as failed: set app.progressDeadlineSeconds above %d" $progress $start $start) -}}
{{- end -}}
{{- $grace := int $times.shutdownGrace -}}
{{- $kill := int .Values.terminationGracePeriodSeconds -}}
{{- if ge $grace $kill -}}
{{- $wrong = append $wrong (printf "timeouts.shutdownGrace (%d s) is not shorter than terminationGracePeriodSeconds (%d s), after which the run is killed: set terminationGracePeriodSeconds above %d" $grace $kill $grace) -}}
{{- end -}}
{{- toJson $wrong -}}
{{- end -}}

{{/*
A pod that waits for a volume that another node has mounted waits for ever.
*/}}
{{- define "lockkeeper.wrongVolumes" -}}
{{- $wrong := list -}}
{{- $app := .Values.app -}}
{{- $one := and (not $app.autoscaling.enabled) (has (toString $app.replicas) (list "0" "1")) (eq ($app.strategy.type | default "RollingUpdate") "Recreate") -}}
{{- if and (eq .Values.mode "initContainer") $app.enabled (not $one) -}}
{{- if include "lockkeeper.isSqlite" . -}}
{{- $wrong = append $wrong "SQLite has one writer, and the new pod would start beside the old one: set app.replicas: 1 and app.strategy.type: Recreate, without app.autoscaling" -}}
{{- else if and .Values.backups.enabled (not .Values.backups.existingClaim) (not (has "ReadWriteMany" (include "lockkeeper.backupsModes" . | fromJsonArray))) -}}
{{- $wrong = append $wrong "backups.accessModes has no ReadWriteMany, and pods on other nodes would wait for the volume for ever: add it, or set mode: job, or app.replicas: 1 with app.strategy.type: Recreate" -}}
{{- end -}}
{{- end -}}
{{- toJson $wrong -}}
{{- end -}}

{{- define "lockkeeper.backupsModes" -}}
{{- $many := and (eq .Values.mode "initContainer") (not (include "lockkeeper.isSqlite" .)) -}}
{{- .Values.backups.accessModes | default (list ($many | ternary "ReadWriteMany" "ReadWriteOnce")) | toJson -}}
{{- end -}}
