{{/* Rules of network policies. */}}

{{- define "grayscale.policy.dns" -}}
- ports: # whoever answers for names: a pod, or a cache on the node
    - { port: 53, protocol: UDP }
    - { port: 53, protocol: TCP }
{{- end }}

{{- define "grayscale.policy.redis" -}}
{{- if eq .Values.redis.kind "internal" -}}
- ports: [{ port: 6379 }]
  to:
    {{- include "grayscale.policy.callers" (dict "root" . "components" (list "redis")) | nindent 4 }}
{{- else -}}
- ports: # a policy knows addresses only, and yours are behind a name
    {{- range .Values.redis.external.ports }}
    - { port: {{ int . }} }
    {{- end }}
{{- end }}
{{- end }}

{{- define "grayscale.policy.modelServer" -}}
{{- if ne .Values.modelServer.kind "embedded" -}}
- ports: [{ port: 8001 }]
  to:
    {{- include "grayscale.policy.callers" (dict "root" . "components" (list "model-server")) | nindent 4 }}
{{- end }}
{{- end }}

{{- define "grayscale.policy.s3" -}}
{{- if include "grayscale.usesS3" . -}}
- ports: [{ port: {{ include "grayscale.portOf" (.Values.s3.endpoint | default "https://s3") }} }]
{{- end }}
{{- end }}

{{- define "grayscale.policy.tracing" -}}
{{- with .Values.tracing.endpoint -}}
- ports: [{ port: {{ include "grayscale.portOf" . }} }]
{{- end }}
{{- end }}

{{/* Public addresses: images by URL, webhooks. The code refuses others; here nothing inside the cluster is reachable
     even if it did not. */}}
{{- define "grayscale.policy.outbound" -}}
{{- with .Values.networkPolicy.outboundPorts -}}
- ports:
    {{- range . }}
    - { port: {{ int . }} }
    {{- end }}
  to:
    - ipBlock:
        cidr: 0.0.0.0/0
        except: [10.0.0.0/8, 100.64.0.0/10, 127.0.0.0/8, 169.254.0.0/16, 172.16.0.0/12, 192.168.0.0/16]
    - ipBlock:
        cidr: ::/0
        except: ["fc00::/7", "fe80::/10"]
{{- end }}
{{- end }}

{{/* Peers: pods of this release. .root, .components */}}
{{- define "grayscale.policy.callers" -}}
{{- range .components }}
- podSelector:
    matchLabels:
      {{- include "grayscale.selector" (dict "root" $.root "component" .) | nindent 6 }}
{{- end }}
{{- end }}

{{/* The port that a URL means. */}}
{{- define "grayscale.portOf" -}}
{{- $host := (urlParse .).host -}}
{{- $said := regexFind ":[0-9]+$" $host | trimPrefix ":" -}}
{{- $said | default (hasPrefix "https:" . | ternary "443" "80") -}}
{{- end }}
