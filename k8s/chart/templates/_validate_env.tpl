{{- define "lockkeeper.wrongEnv" -}}
{{- $wrong := list -}}
{{- $passwords := list "DATABASE_PASSWORD" "PGPASSWORD" -}}
{{- /* These are no secrets, and Lockkeeper reads no file for them. */ -}}
{{- $fromSecret := list "PGUSER" "PGHOST" "PGHOSTADDR" "PGPORT" "PGDATABASE" -}}
{{- $ours := list "DATABASE_URL" "DATABASE_URL_FILE" "LOCKKEEPER_BACKUP" "LOCKKEEPER_BACKUP_DIR" "LOCKKEEPER_BACKUP_KEEP" -}}
{{- range include "lockkeeper.migrateEnv" . | fromYamlArray -}}
{{- $ours = append $ours .name -}}
{{- end -}}
{{- range .Values.extraEnv -}}
{{- if has .name $passwords -}}
{{- $wrong = append $wrong (printf "extraEnv has %s, and an environment is seen by everybody who may read the pod: name the Secret in database.existingSecret, which is mounted as a file" .name) -}}
{{- else if has .name $ours -}}
{{- $wrong = append $wrong (printf "extraEnv has %s, which the chart sets itself: change the value that it comes from (database, timeouts, backups)" .name) -}}
{{- else if and (dig "valueFrom" "secretKeyRef" "" .) (eq .name "LOCKKEEPER_DIRECT_URL") -}}
{{- $wrong = append $wrong (printf "extraEnv has %s from a Secret, and a process's environment is easily shown: mount the Secret with extraVolumes and extraVolumeMounts, and name the file in %s_FILE" .name .name) -}}
{{- else if and (dig "valueFrom" "secretKeyRef" "" .) (not (has .name $fromSecret)) -}}
{{- $wrong = append $wrong (printf "extraEnv has %s from a Secret, and a process's environment is easily shown: give it in value, or from a ConfigMap (from a Secret only %s)" .name (join ", " $fromSecret)) -}}
{{- else if include "lockkeeper.showsPassword" (.value | default "") -}}
{{- $wrong = append $wrong (printf "extraEnv: %s has a password in it: take it out, and name the Secret that has it in database.existingSecret" .name) -}}
{{- end -}}
{{- end -}}
{{- range .Values.extraEnvFrom -}}
{{- with .secretRef -}}
{{- $wrong = append $wrong (printf "extraEnvFrom has the Secret %s, and a process's environment is easily shown: take it out, and name the Secret in database.existingSecret, or mount it with extraVolumes" .name) -}}
{{- end -}}
{{- end -}}
{{- range .Values.extraArgs -}}
{{- if include "lockkeeper.showsPassword" . -}}
{{- $wrong = append $wrong "extraArgs has a URL with a password, which everybody sees who may read the pod: take it out, and name the Secret that has it in database.existingSecret" -}}
{{- end -}}
{{- end -}}
{{- if and .Values.app.enabled .Values.app.connect -}}
{{- $given := list -}}
{{- range include "lockkeeper.env" . | fromYamlArray -}}
{{- $given = append $given .name -}}
{{- end -}}
{{- range .Values.app.env -}}
{{- if has .name $given -}}
{{- $wrong = append $wrong (printf "app.env has %s, which app.connect sets: take it out, or set app.connect: false" .name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $wrong -}}
{{- end -}}
