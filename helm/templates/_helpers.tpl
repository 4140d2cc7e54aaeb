{{- define "tidings.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "tidings.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains (include "tidings.name" .) .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "tidings.name" .) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "tidings.selectorLabels" -}}
app.kubernetes.io/name: {{ include "tidings.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* Labels of the gateway's pods only: without `component` the Service and the budget would also select the test pod. */}}
{{- define "tidings.podSelectorLabels" -}}
{{ include "tidings.selectorLabels" . }}
app.kubernetes.io/component: gateway
{{- end -}}

{{- define "tidings.labels" -}}
{{ include "tidings.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "tidings.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "tidings.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "tidings.secretName" -}}
{{- default (include "tidings.fullname" .) .Values.secret.existing -}}
{{- end -}}

{{- define "tidings.createsSecret" -}}
{{- if or .Values.secret.redisUrl .Values.secret.jwtSecret .Values.secret.apiKeys -}}true{{- end -}}
{{- end -}}

{{- define "tidings.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{/* The named port that probes and Prometheus use. */}}
{{- define "tidings.adminPortName" -}}
{{- ternary "admin" "http" (not (not .Values.ports.admin)) -}}
{{- end -}}

{{/* TLS covers the public port only. */}}
{{- define "tidings.adminScheme" -}}
{{- if and .Values.tls.secretName (not .Values.ports.admin) -}}HTTPS{{- else -}}HTTP{{- end -}}
{{- end -}}

{{/* Seconds from the request to stop a pod until its last stream has ended. */}}
{{- define "tidings.drainSeconds" -}}
{{- $d := .Values.drain -}}
{{- $ms := add (mul (int $d.preStopSeconds) 1000) (int $d.delayMs) (int $d.windowMs) (mul (int $d.marginSeconds) 1000) -}}
{{- div (add $ms 999) 1000 -}}
{{- end -}}

{{- define "tidings.terminationGracePeriodSeconds" -}}
{{- $needed := include "tidings.drainSeconds" . | int -}}
{{- if kindIs "invalid" .Values.drain.terminationGracePeriodSeconds -}}
{{- $needed -}}
{{- else -}}
{{- int .Values.drain.terminationGracePeriodSeconds -}}
{{- end -}}
{{- end -}}

{{- define "tidings.scaling" -}}
scaleUp:
  # Scale up at once: a new pod takes its share of new streams as soon as it is ready.
  stabilizationWindowSeconds: 0
  selectPolicy: Max
  policies:
    - { type: Percent, value: 100, periodSeconds: 30 }
    - { type: Pods, value: 4, periodSeconds: 30 }
scaleDown:
  # Scale down slowly: the streams of every removed pod must reconnect.
  stabilizationWindowSeconds: {{ int .Values.autoscaling.scaleDown.windowSeconds }}
  selectPolicy: Max
  policies:
    - { type: Pods, value: 1, periodSeconds: {{ int .Values.autoscaling.scaleDown.podSeconds }} }
{{- end -}}

{{- define "tidings.probe" -}}
httpGet:
  path: {{ .path }}
  port: {{ include "tidings.adminPortName" .root }}
  scheme: {{ include "tidings.adminScheme" .root }}
{{ toYaml .timing }}
{{- end -}}

{{/* A Prometheus matcher for the gateway's pods only. */}}
{{- define "tidings.podMatcher" -}}
{{- printf "namespace=%q,pod=~%q" .Release.Namespace (printf "%s-[a-z0-9]+-[a-z0-9]+" (include "tidings.fullname" .)) -}}
{{- end -}}
