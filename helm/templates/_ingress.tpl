{{/* Annotations that long streams need: no buffering, no cut before the gateway's max age. ingress.annotations takes precedence. */}}
{{- define "tidings.ingressAnnotations" -}}
{{- $tls := .Values.tls.secretName -}}
{{- $seconds := add 60 (div (mul (int .Values.config.connectionMaxAgeMs) 12) 10000) -}}
{{- if eq .Values.ingress.controller "nginx" }}
nginx.ingress.kubernetes.io/proxy-buffering: "off"
nginx.ingress.kubernetes.io/proxy-http-version: "1.1"
nginx.ingress.kubernetes.io/proxy-read-timeout: {{ $seconds | quote }}
nginx.ingress.kubernetes.io/proxy-send-timeout: {{ $seconds | quote }}
nginx.ingress.kubernetes.io/proxy-body-size: "16m"
{{- if $tls }}
nginx.ingress.kubernetes.io/backend-protocol: HTTPS
{{- end }}
{{- else if eq .Values.ingress.controller "haproxy" }}
haproxy.org/timeout-server: {{ printf "%ds" (int $seconds) | quote }}
haproxy.org/timeout-client: {{ printf "%ds" (int $seconds) | quote }}
haproxy.org/load-balance: leastconn
{{- if $tls }}
haproxy.org/server-ssl: "true"
{{- end }}
{{- else if eq .Values.ingress.controller "alb" }}
alb.ingress.kubernetes.io/target-type: ip
alb.ingress.kubernetes.io/load-balancer-attributes: idle_timeout.timeout_seconds=300
alb.ingress.kubernetes.io/target-group-attributes: {{ printf "deregistration_delay.timeout_seconds=%s,load_balancing.algorithm.type=least_outstanding_requests" (include "tidings.drainSeconds" .) }}
alb.ingress.kubernetes.io/healthcheck-path: /readyz
{{- with .Values.ports.admin }}
alb.ingress.kubernetes.io/healthcheck-port: {{ . | toString | quote }}
alb.ingress.kubernetes.io/healthcheck-protocol: HTTP
{{- end }}
{{- if $tls }}
alb.ingress.kubernetes.io/backend-protocol: HTTPS
{{- end }}
{{- end }}
{{- end -}}
