{{/* What the schema cannot say: values that do not go together. Each message names the value to change. */}}
{{- define "grayscale.checks" -}}
{{- $values := .Values -}}
{{- $server := $values.modelServer -}}
{{- $gpus := int $server.gpu.count -}}
{{- if and (eq $values.models.source "pvc") (not $values.models.pvc.existingClaim) -}}
{{- fail "models.pvc.existingClaim: name the claim that has the models (models.source is pvc)" -}}
{{- end -}}
{{- if and (eq $values.models.source "s3") (not $values.models.s3.url) -}}
{{- fail "models.s3.url: name the bucket, s3://bucket/prefix (models.source is s3)" -}}
{{- end -}}
{{- if and (hasPrefix "http://" $values.s3.endpoint) (not $values.s3.allowHttp) -}}
{{- fail "s3.allowHttp: s3.endpoint is not https; set it to true if that is meant" -}}
{{- end -}}
{{- if and (eq $server.kind "triton") $server.tls.existingSecret -}}
{{- fail "modelServer.tls.existingSecret: the chart sets up TLS for Grayscale's model server only (modelServer.kind is triton); give Triton its options by modelServer.triton.args" -}}
{{- end -}}
{{- if and (eq $server.kind "triton") $server.env -}}
{{- fail "modelServer.env: Triton reads no variables of Grayscale (modelServer.kind is triton); use modelServer.extraEnv" -}}
{{- end -}}
{{- if and (eq $server.kind "embedded") (gt $gpus 0) -}}
{{- fail "modelServer.gpu.count: GPUs belong to a model server (modelServer.kind is embedded)" -}}
{{- end -}}
{{- if and (include "grayscale.onOneNode" .) (include "grayscale.gpuSharesState" .) (not $server.gpu.nodeSelector) -}}
{{- fail "modelServer.gpu.nodeSelector: with state.accessMode ReadWriteOnce all pods go to one node, so say which have GPUs, for instance nvidia.com/gpu.present: \"true\"; or use ReadWriteMany" -}}
{{- end -}}
{{- $redis := $values.redis.external -}}
{{- if eq $values.redis.kind "external" -}}
{{- if not (or $redis.url $redis.existingSecret) -}}
{{- fail "redis.external.url: say where your server is, or name a Secret in redis.external.existingSecret" -}}
{{- else if and $redis.url $redis.existingSecret -}}
{{- fail "redis.external.url: redis.external.existingSecret has the whole URL; set one of them" -}}
{{- end -}}
{{- end -}}
{{- include "grayscale.checks.scaling" . -}}
{{- if and $values.ingress.enabled (not (or $values.ingress.hosts $values.ingress.webHosts)) -}}
{{- fail "ingress.hosts: name at least one host" -}}
{{- end -}}
{{- if and (not $values.web.enabled) (or $values.ingress.webHosts $values.gateway.webHostnames) -}}
{{- fail "web.enabled: ingress.webHosts and gateway.webHostnames lead to the pages, which are turned off" -}}
{{- end -}}
{{- range $values.ingress.webHosts -}}
{{- if has . $values.ingress.hosts -}}
{{- fail "ingress.webHosts: a host leads to the API or to the pages; the pages pass /api on to the API" -}}
{{- end -}}
{{- end -}}
{{- if and $values.gateway.enabled (not $values.gateway.parents) -}}
{{- fail "gateway.parents: name at least one Gateway" -}}
{{- end -}}
{{- end }}

{{- define "grayscale.checks.scaling" -}}
{{- $worker := .Values.worker -}}
{{- range $path, $scaling := dict "api.autoscaling" .Values.api.autoscaling "modelServer.autoscaling" .Values.modelServer.autoscaling "worker.autoscaling" $worker.autoscaling "worker.keda" $worker.keda "web.autoscaling" .Values.web.autoscaling -}}
{{- if and $scaling.enabled (gt (int $scaling.minReplicas) (int $scaling.maxReplicas)) -}}
{{- fail (printf "%s.minReplicas is above %s.maxReplicas" $path $path) -}}
{{- end -}}
{{- end -}}
{{- with .Values.api.autoscaling -}}
{{- if and .enabled (not (or (int .cpuPercent) (int .inFlight))) -}}
{{- fail "api.autoscaling: cpuPercent and inFlight are both 0, so there is no signal" -}}
{{- end -}}
{{- end -}}
{{- with .Values.modelServer.autoscaling -}}
{{- if and .enabled (not (or (int .cpuPercent) (int .queueMs))) -}}
{{- fail "modelServer.autoscaling: cpuPercent and queueMs are both 0, so there is no signal" -}}
{{- end -}}
{{- if and .enabled (eq $.Values.modelServer.kind "embedded") -}}
{{- fail "modelServer.autoscaling.enabled: there is no model server (modelServer.kind is embedded); scale the API" -}}
{{- end -}}
{{- end -}}
{{- if and $worker.keda.enabled $worker.autoscaling.enabled -}}
{{- fail "worker.keda.enabled: worker.autoscaling scales the same pods; enable one of them" -}}
{{- end -}}
{{- if and $worker.keda.enabled (not $worker.keda.prometheus) -}}
{{- fail "worker.keda.prometheus: the queue's length is read from Prometheus; give its address" -}}
{{- end -}}
{{- end }}
