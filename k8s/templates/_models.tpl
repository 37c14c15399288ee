{{/* The model repository of a pod: a volume, a mount at /models, and what fills it. */}}

{{- define "grayscale.models.volumes" -}}
{{- if eq .Values.models.source "pvc" -}}
- name: models
  persistentVolumeClaim:
    claimName: {{ required "models.pvc.existingClaim: name the claim that has the models (models.source is pvc)" .Values.models.pvc.existingClaim }}
    readOnly: true
{{- else -}}
- name: models
  emptyDir: { sizeLimit: {{ .Values.models.size }} }
{{- if eq .Values.models.source "s3" }}
- name: models-sync
  configMap:
    name: {{ include "grayscale.fullname" . }}-models-sync
{{- end }}
{{- end }}
{{- end }}

{{- define "grayscale.models.mount" -}}
- name: models
  mountPath: /models
  readOnly: true
{{- if and (eq .Values.models.source "pvc") .Values.models.pvc.subPath }}
  subPath: {{ .Values.models.pvc.subPath }}
{{- end }}
{{- end }}

{{/* Init containers; empty for a claim. */}}
{{- define "grayscale.models.init" -}}
{{- if eq .Values.models.source "image" -}}
{{- $image := .Values.models.image -}}
- name: models
  {{- if $image.repository }}
  image: {{ include "grayscale.tagged" (dict "repository" $image.repository "tag" ($image.tag | default "latest")) }}
  {{- else }}
  image: {{ include "grayscale.image" (dict "root" . "image" .Values.api.image) }}
  {{- end }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command: [cp, -R, {{ printf "%s/." (trimSuffix "/" $image.path) | quote }}, /repository/]
  {{- include "grayscale.container" . | nindent 2 }}
  {{- include "grayscale.smallResources" . | nindent 2 }}
  volumeMounts: # not at /models, which would hide what is to be copied
    - { name: models, mountPath: /repository }
{{- else if eq .Values.models.source "s3" -}}
{{ include "grayscale.models.sync" (dict "root" . "name" "models" "every" 0) }}
{{- end }}
{{- end }}

{{/* A container beside the server that looks for new versions; empty when nobody asks for it. */}}
{{- define "grayscale.models.beside" -}}
{{- $seconds := int .Values.models.s3.refreshSeconds -}}
{{- if and (eq .Values.models.source "s3") (gt $seconds 0) -}}
{{ include "grayscale.models.sync" (dict "root" . "name" "models-refresh" "every" $seconds) }}
{{- end }}
{{- end }}

{{/* .root, .name, .every (seconds; 0: once) */}}
{{- define "grayscale.models.sync" -}}
- name: {{ .name }}
  image: {{ include "grayscale.image" (dict "root" .root "image" .root.Values.api.image) }}
  imagePullPolicy: {{ .root.Values.image.pullPolicy }}
  command:
    - python
    - /etc/grayscale/models-sync/sync_models.py
    - {{ required "models.s3.url: name the bucket, s3://bucket/prefix (models.source is s3)" .root.Values.models.s3.url }}
    - /repository
    {{- if .every }}
    - {{ .every | quote }}
    {{- end }}
  env:
    {{- include "grayscale.env.s3" .root | nindent 4 }}
  {{- include "grayscale.container" .root | nindent 2 }}
  {{- include "grayscale.smallResources" .root | nindent 2 }}
  volumeMounts:
    - { name: models, mountPath: /repository }
    - { name: models-sync, mountPath: /etc/grayscale/models-sync, readOnly: true }
    - { name: tmp, mountPath: /tmp }
{{- end }}

{{/* The certificates by which a model server is trusted, for those that call it. */}}
{{- define "grayscale.modelServerCa.volume" -}}
{{- if and (ne .Values.modelServer.kind "embedded") .Values.modelServer.tls.existingSecret -}}
- name: model-server-ca
  secret:
    secretName: {{ .Values.modelServer.tls.existingSecret }}
    items: [{ key: ca.crt, path: ca.crt }]
{{- end }}
{{- end }}

{{- define "grayscale.modelServerCa.mount" -}}
{{- if and (ne .Values.modelServer.kind "embedded") .Values.modelServer.tls.existingSecret -}}
- { name: model-server-ca, mountPath: /etc/grayscale/model-server-ca, readOnly: true }
{{- end }}
{{- end }}
