{{/* Variables of containers, as YAML lists. */}}

{{/* All of a container: what the chart sets (.own, YAML text), then .values.env and .values.extraEnv.
     .path names .values in a message. */}}
{{- define "grayscale.env" -}}
{{- $names := list -}}
{{- range fromYamlArray .own }}{{ $names = append $names .name }}{{ end -}}
{{ .own | trim }}
{{- range $name, $value := .values.env }}
{{- if has $name $names }}
{{- fail (printf "%s.env.%s: the chart sets this variable itself; change the value that stands for it in values.yaml" $.path $name) }}
{{- end }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- with .values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "grayscale.env.every" -}}
- name: GRAYSCALE_LOG_LEVEL
  value: {{ .Values.logLevel }}
- name: GRAYSCALE_DATA_DIR
  value: /data
{{- end }}

{{- define "grayscale.env.redis" -}}
{{- $redis := .Values.redis -}}
{{- if eq $redis.kind "internal" -}}
- name: REDIS_PASSWORD
  valueFrom:
    secretKeyRef: { name: {{ include "grayscale.redisSecret" . }}, key: {{ $redis.internal.passwordKey }} }
- name: GRAYSCALE_REDIS_URL
  value: redis://:$(REDIS_PASSWORD)@{{ include "grayscale.redisHost" . }}:6379/0
{{- else if $redis.external.existingSecret -}}
- name: GRAYSCALE_REDIS_URL
  valueFrom:
    secretKeyRef: { name: {{ $redis.external.existingSecret }}, key: {{ $redis.external.urlKey }} }
{{- else -}}
- name: GRAYSCALE_REDIS_URL
  value: {{ $redis.external.url }}
{{- end }}
{{- end }}

{{/* How the models are reached: a model server, or a repository of one's own. */}}
{{- define "grayscale.env.models" -}}
{{- if eq .Values.modelServer.kind "embedded" -}}
- name: GRAYSCALE_MODELS
  value: /models
{{- else -}}
- name: GRAYSCALE_MODEL_SERVER_URL
  value: {{ include "grayscale.modelServerHost" . }}:8001
{{- if .Values.modelServer.tls.existingSecret }}
- name: GRAYSCALE_MODEL_SERVER_CA
  value: /etc/grayscale/model-server-ca/ca.crt
{{- end }}
{{- end }}
{{- end }}

{{- define "grayscale.env.tracing" -}}
{{- with .Values.tracing.endpoint -}}
- name: GRAYSCALE_OTLP_ENDPOINT
  value: {{ . }}
- name: GRAYSCALE_TRACE_SAMPLE
  value: {{ $.Values.tracing.sample | quote }}
{{- end }}
{{- end }}

{{/* For those that load and unload, or ask what is loaded. */}}
{{- define "grayscale.env.modelServerKey" -}}
{{- if eq .Values.modelServer.kind "grayscale" -}}
- name: GRAYSCALE_MODEL_SERVER_KEY
  valueFrom:
    secretKeyRef: { name: {{ include "grayscale.modelServerSecret" . }}, key: {{ .Values.auth.modelServerKey.key }} }
{{- end }}
{{- end }}

{{- define "grayscale.env.blobs" -}}
{{- with .Values.blobs.url -}}
- name: GRAYSCALE_BLOBS_URL
  value: {{ . }}
{{ include "grayscale.env.s3" $ }}
{{- end }}
{{- end }}

{{/* The AWS_* variables, as obstore reads them. */}}
{{- define "grayscale.env.s3" -}}
- name: AWS_ALLOW_HTTP
  value: {{ .Values.s3.allowHttp | quote }}
{{- with .Values.s3.region }}
- name: AWS_REGION
  value: {{ . }}
{{- end }}
{{- with .Values.s3.endpoint }}
- name: AWS_ENDPOINT_URL_S3
  value: {{ . }}
{{- end }}
{{- with .Values.s3.existingSecret }}
- name: AWS_ACCESS_KEY_ID
  valueFrom:
    secretKeyRef: { name: {{ . }}, key: AWS_ACCESS_KEY_ID }
- name: AWS_SECRET_ACCESS_KEY
  valueFrom:
    secretKeyRef: { name: {{ . }}, key: AWS_SECRET_ACCESS_KEY }
{{- end }}
{{- end }}
