{{/* Names, labels, images. Templates that take `.root` get a dict; the others get the top context. */}}

{{- define "grayscale.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{/* At most 40 characters, so that every name made from it is a name of a Service and a StatefulSet. */}}
{{- define "grayscale.fullname" -}}
{{- $name := include "grayscale.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{/* .root, .component */}}
{{- define "grayscale.selector" -}}
app.kubernetes.io/name: {{ include "grayscale.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* .root, .component */}}
{{- define "grayscale.labels" -}}
{{ include "grayscale.selector" . }}
app.kubernetes.io/part-of: grayscale
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{/* One of ours. .root, .image, .suffix (of a tag that is not named) */}}
{{- define "grayscale.image" -}}
{{- $tag := .image.tag | default (printf "%s%s" (.root.Values.image.tag | default .root.Chart.AppVersion) (.suffix | default "")) -}}
{{- $repository := .image.repository -}}
{{- with .root.Values.image.registry }}{{ $repository = printf "%s/%s" (trimSuffix "/" .) $repository }}{{ end -}}
{{- include "grayscale.tagged" (dict "repository" $repository "tag" $tag) -}}
{{- end }}

{{/* .repository, .tag, which may be a digest */}}
{{- define "grayscale.tagged" -}}
{{- printf "%s%s%s" .repository (hasPrefix "sha256:" .tag | ternary "@" ":") .tag -}}
{{- end }}

{{- define "grayscale.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "grayscale.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end }}

{{- define "grayscale.stateClaim" -}}
{{- .Values.state.existingClaim | default (printf "%s-state" (include "grayscale.fullname" .)) -}}
{{- end }}

{{- define "grayscale.modelServerHost" -}}
{{- printf "%s-model-server.%s.svc.%s" (include "grayscale.fullname" .) .Release.Namespace .Values.clusterDomain -}}
{{- end }}

{{- define "grayscale.redisHost" -}}
{{- printf "%s-redis.%s.svc.%s" (include "grayscale.fullname" .) .Release.Namespace .Values.clusterDomain -}}
{{- end }}

{{- define "grayscale.modelServerSecret" -}}
{{- .Values.auth.modelServerKey.existingSecret | default (printf "%s-model-server" (include "grayscale.fullname" .)) -}}
{{- end }}

{{- define "grayscale.redisSecret" -}}
{{- .Values.redis.internal.existingSecret | default (printf "%s-redis" (include "grayscale.fullname" .)) -}}
{{- end }}

{{/* "true" when a bucket is used by anything. */}}
{{- define "grayscale.usesS3" -}}
{{- if or (eq .Values.models.source "s3") .Values.blobs.url }}true{{ end -}}
{{- end }}

{{/* Seconds from SIGTERM to SIGKILL, never less than what the processes allow themselves. */}}
{{/* API: drain delay, then finish_s and 10 s more before the parent kills a process. */}}
{{- define "grayscale.api.grace" -}}
{{- add (ceil .Values.api.drainDelaySeconds) (ceil .Values.api.finishSeconds) 15 -}}
{{- end }}

{{/* Model server: drain delay, finish_s for its listeners, finish_s for its models. */}}
{{- define "grayscale.modelServer.grace" -}}
{{- add (ceil .Values.modelServer.drainDelaySeconds) (mul 2 (ceil .Values.modelServer.finishSeconds)) 5 -}}
{{- end }}

{{/* Worker: drain_s and 10 s more before the parent kills a process. */}}
{{- define "grayscale.worker.grace" -}}
{{- add (ceil .Values.worker.drainSeconds) 15 -}}
{{- end }}
