{{/* What both model servers, ours and NVIDIA's, have alike: they speak one protocol on the same ports. */}}

{{- define "grayscale.modelServer.rollout" -}}
{{- $server := .Values.modelServer -}}
{{- $gpu := gt (int $server.gpu.count) 0 -}}
{{- if not $server.autoscaling.enabled }}
replicas: {{ int $server.replicas }}
{{- end }}
progressDeadlineSeconds: 1800 {{- /* a TensorRT engine may be built first */}}
strategy:
  type: RollingUpdate
  rollingUpdate:
    maxSurge: {{ ternary (ternary 0 1 $gpu) $server.rollout.maxSurge (eq (toString $server.rollout.maxSurge) "") }}
    maxUnavailable: {{ ternary (ternary 1 0 $gpu) $server.rollout.maxUnavailable (eq (toString $server.rollout.maxUnavailable) "") }}
{{- end }}

{{- define "grayscale.modelServer.runtimeClass" -}}
{{- if gt (int .Values.modelServer.gpu.count) 0 -}}
{{- with .Values.modelServer.gpu.runtimeClass }}
runtimeClassName: {{ . }}
{{- end }}
{{- end }}
{{- end }}

{{- define "grayscale.modelServer.ports" -}}
ports:
  - { name: http, containerPort: 8000 }
  - { name: grpc, containerPort: 8001 }
  - { name: metrics, containerPort: 8002 }
{{- end }}

{{/* .scheme, .startSeconds (how long the ports may take to open) */}}
{{- define "grayscale.modelServer.probes" -}}
startupProbe:
  httpGet: { path: /v2/health/live, port: http, scheme: {{ .scheme }} }
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: {{ div .startSeconds 2 }}
livenessProbe:
  httpGet: { path: /v2/health/live, port: http, scheme: {{ .scheme }} }
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: { path: /v2/health/ready, port: http, scheme: {{ .scheme }} }
  periodSeconds: 2
  timeoutSeconds: 6
  failureThreshold: 2
{{- end }}

{{/* With the GPUs, which are both requested and limited. */}}
{{- define "grayscale.modelServer.resources" -}}
{{- $server := .Values.modelServer -}}
{{- $resources := deepCopy $server.resources -}}
{{- if gt (int $server.gpu.count) 0 -}}
{{- range list "requests" "limits" -}}
{{- $_ := set $resources . (merge (dict $server.gpu.resource (int $server.gpu.count)) (get $resources . | default dict)) -}}
{{- end -}}
{{- end -}}
resources:
  {{- toYaml $resources | nindent 2 }}
{{- end }}
