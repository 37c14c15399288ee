{{/* What all pods have alike. */}}

{{- define "grayscale.pod" -}}
serviceAccountName: {{ include "grayscale.serviceAccount" . }}
automountServiceAccountToken: false
enableServiceLinks: false {{- /* a Service called "grayscale" would set GRAYSCALE_PORT */}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: {{ int64 .Values.runAs.user }}
  runAsGroup: {{ int64 .Values.runAs.group }}
  fsGroup: {{ int64 .Values.runAs.group }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: { type: RuntimeDefault }
{{- end }}

{{- define "grayscale.container" -}}
securityContext:
  runAsNonRoot: true
  readOnlyRootFilesystem: true
  allowPrivilegeEscalation: false
  capabilities: { drop: [ALL] }
{{- end }}

{{/* For containers that run before or beside the one that serves. */}}
{{- define "grayscale.smallResources" -}}
resources:
  requests: { cpu: 50m, memory: 64Mi }
  limits: { memory: 512Mi }
{{- end }}

{{/* .root, .component, .own (labels of the pods beside the selector's), .values */}}
{{- define "grayscale.podMetadata" -}}
labels:
  {{- include "grayscale.labels" . | nindent 2 }}
  {{- with .own }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .values.podAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The label that brings pods with a ReadWriteOnce volume to one node. */}}
{{- define "grayscale.stateLabel" -}}
grayscale-state: {{ include "grayscale.fullname" . }}
{{- end }}

{{- define "grayscale.onOneNode" -}}
{{- if eq .Values.state.accessMode "ReadWriteOnce" }}true{{ end -}}
{{- end }}

{{/* "true" when model servers with GPUs share the state. */}}
{{- define "grayscale.gpuSharesState" -}}
{{- if and (eq .Values.modelServer.kind "grayscale") (gt (int .Values.modelServer.gpu.count) 0) }}true{{ end -}}
{{- end }}

{{/* Where pods go. .root, .component, .values, .state (whether they mount it), .gpu (whether they use one) */}}
{{- define "grayscale.scheduling" -}}
{{- $together := and .state (include "grayscale.onOneNode" .root) -}}
{{- $nodes := deepCopy .values.nodeSelector -}}
{{- $tolerations := .values.tolerations -}}
{{- if or .gpu (and $together (include "grayscale.gpuSharesState" .root)) -}}
{{- $nodes = merge $nodes .root.Values.modelServer.gpu.nodeSelector -}}
{{- $tolerations = concat $tolerations .root.Values.modelServer.gpu.tolerations -}}
{{- end -}}
{{- $affinity := deepCopy .values.affinity -}}
{{- if $together -}}
{{- $term := dict "topologyKey" "kubernetes.io/hostname" "labelSelector" (dict "matchLabels" (include "grayscale.stateLabel" .root | fromYaml)) -}}
{{- $pods := $affinity.podAffinity | default dict -}}
{{- $required := append ($pods.requiredDuringSchedulingIgnoredDuringExecution | default list) $term -}}
{{- $_ := set $pods "requiredDuringSchedulingIgnoredDuringExecution" $required -}}
{{- $_ := set $affinity "podAffinity" $pods -}}
{{- else }}
topologySpreadConstraints:
  {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    matchLabelKeys: [pod-template-hash]
    labelSelector:
      matchLabels:
        {{- include "grayscale.selector" $ | nindent 8 }}
  {{- end }}
{{- end }}
{{- with $nodes }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{- define "grayscale.tmpVolume" -}}
- name: tmp
  emptyDir: { sizeLimit: 2Gi }
{{- end }}

{{- define "grayscale.stateVolume" -}}
- name: state
  persistentVolumeClaim:
    claimName: {{ include "grayscale.stateClaim" . }}
{{- end }}

{{/* Makes the folders of the state that a pod mounts one by one: made by the kubelet they would be root's.
     .root, .image, .folders */}}
{{- define "grayscale.stateFolders" -}}
- name: state-folders
  image: {{ .image }}
  imagePullPolicy: {{ .root.Values.image.pullPolicy }}
  command: [mkdir, -p{{ range .folders }}, /state/{{ . }}{{ end }}]
  {{- include "grayscale.container" .root | nindent 2 }}
  {{- include "grayscale.smallResources" .root | nindent 2 }}
  volumeMounts:
    - { name: state, mountPath: /state }
{{- end }}

{{/* Of a worker and a controller. */}}
{{- define "grayscale.healthProbes" -}}
startupProbe:
  httpGet: { path: /healthz/live, port: metrics }
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 90
livenessProbe:
  httpGet: { path: /healthz/live, port: metrics }
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: { path: /healthz/ready, port: metrics }
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: 2
{{- end }}
