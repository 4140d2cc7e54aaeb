{{/* Checks that a JSON schema cannot make. One message lists every mistake with its value, its place and the allowed values. */}}
{{- define "tidings.validate" -}}
{{- $v := .Values -}}
{{- $wrong := list -}}
{{- $scaled := has $v.autoscaling.mode (list "connections" "keda") -}}

{{- if and (eq $v.config.adapter "redis") (not $v.secret.existing) (not $v.secret.redisUrl) -}}
{{- $wrong = append $wrong "config.adapter is redis, so secret.redisUrl, or secret.existing with a key REDIS_URL, must be set" -}}
{{- end -}}
{{- if and (eq $v.config.adapter "memory") $v.secret.redisUrl -}}
{{- $wrong = append $wrong "secret.redisUrl is set but config.adapter is memory: set config.adapter=redis or remove the URL" -}}
{{- end -}}
{{- if not (or $v.secret.existing $v.secret.jwtSecret $v.secret.apiKeys $v.config.jwtPublicKey $v.config.jwksUrl) -}}
{{- $wrong = append $wrong "no credentials: a gateway without any is open to everyone and refuses to leave loopback; set secret.existing, secret.apiKeys, secret.jwtSecret, config.jwtPublicKey or config.jwksUrl" -}}
{{- end -}}

{{- $verifiers := list -}}
{{- range $name, $value := dict "secret.jwtSecret" $v.secret.jwtSecret "config.jwtPublicKey" $v.config.jwtPublicKey "config.jwksUrl" $v.config.jwksUrl -}}
{{- if $value -}}
{{- $verifiers = append $verifiers $name -}}
{{- end -}}
{{- end -}}
{{- if gt (len $verifiers) 1 -}}
{{- $wrong = append $wrong (printf "%s are set together, but tokens are verified by exactly one of them" (join " and " $verifiers)) -}}
{{- end -}}
{{- range $name := list "jwtIssuer" "jwtAudience" "authCookie" -}}
{{- if and (get $v.config $name) (not $verifiers) (not $v.secret.existing) -}}
{{- $wrong = append $wrong (printf "config.%s is set but nothing verifies tokens: set secret.jwtSecret, config.jwtPublicKey or config.jwksUrl" $name) -}}
{{- end -}}
{{- end -}}
{{- if lt (int64 $v.config.queueLimitBytes) (mul 4 (int64 $v.config.maxEventBytes)) -}}
{{- $wrong = append $wrong (printf "config.queueLimitBytes is %d but must be at least 4 times config.maxEventBytes %d" (int64 $v.config.queueLimitBytes) (int64 $v.config.maxEventBytes)) -}}
{{- end -}}

{{- if ne $v.autoscaling.mode "none" -}}
{{- if gt (int $v.autoscaling.minReplicas) (int $v.autoscaling.maxReplicas) -}}
{{- $wrong = append $wrong (printf "autoscaling.minReplicas is %d but must not exceed autoscaling.maxReplicas %d" (int $v.autoscaling.minReplicas) (int $v.autoscaling.maxReplicas)) -}}
{{- end -}}
{{- if not (dig "requests" "cpu" "" $v.resources) -}}
{{- $wrong = append $wrong (printf "autoscaling.mode is %s, which measures CPU against resources.requests.cpu: set it" $v.autoscaling.mode) -}}
{{- end -}}
{{- end -}}
{{- if and $scaled (eq (int $v.config.connectionMaxAgeMs) 0) -}}
{{- $wrong = append $wrong (printf "autoscaling.mode is %s but config.connectionMaxAgeMs is 0: streams would never move to new pods" $v.autoscaling.mode) -}}
{{- end -}}
{{- if and $scaled (ge (int $v.autoscaling.connectionsPerPod) (int $v.config.maxConnections)) -}}
{{- $wrong = append $wrong (printf "autoscaling.connectionsPerPod is %d but must be under config.maxConnections %d: a full pod turns streams away before it could ask for help" (int $v.autoscaling.connectionsPerPod) (int $v.config.maxConnections)) -}}
{{- end -}}

{{- $needed := include "tidings.drainSeconds" . | int -}}
{{- if lt (include "tidings.terminationGracePeriodSeconds" . | int) $needed -}}
{{- $wrong = append $wrong (printf "drain.terminationGracePeriodSeconds is %d but must be at least %d (preStopSeconds + delayMs + windowMs + marginSeconds), or streams are cut instead of closed" (int $v.drain.terminationGracePeriodSeconds) $needed) -}}
{{- end -}}

{{- if $v.podDisruptionBudget.enabled -}}
{{- $least := ternary (int $v.replicaCount) (int $v.autoscaling.minReplicas) (eq $v.autoscaling.mode "none") -}}
{{- $min := $v.podDisruptionBudget.minAvailable -}}
{{- if and (or (kindIs "float64" $min) (kindIs "int64" $min) (kindIs "int" $min)) (gt $least 1) (ge (int $min) $least) -}}
{{- $wrong = append $wrong (printf "podDisruptionBudget.minAvailable is %d but must be under the %d replicas that always run, or no node can ever be drained" (int $min) $least) -}}
{{- end -}}
{{- end -}}

{{- if and $v.ports.admin (eq (int $v.ports.admin) (int $v.ports.http)) -}}
{{- $wrong = append $wrong (printf "ports.admin and ports.http are both %d but must differ (null serves probes and metrics on ports.http)" (int $v.ports.http)) -}}
{{- end -}}
{{- if and $v.service.externalTrafficPolicy (eq $v.service.type "ClusterIP") -}}
{{- $wrong = append $wrong "service.externalTrafficPolicy is set but service.type is ClusterIP: it belongs to NodePort and LoadBalancer" -}}
{{- end -}}
{{- if and $v.service.loadBalancerClass (ne $v.service.type "LoadBalancer") -}}
{{- $wrong = append $wrong (printf "service.loadBalancerClass is set but service.type is %s: it belongs to LoadBalancer" $v.service.type) -}}
{{- end -}}
{{- range $v.extraEnv -}}
{{- if hasKey (include "tidings.env" $ | fromYaml) .name -}}
{{- $wrong = append $wrong (printf "extraEnv sets %s, which the chart sets already: use its value in config, ports, drain or tls" .name) -}}
{{- end -}}
{{- end -}}

{{- if $wrong -}}
{{- fail (printf "\n\nvalues contradict each other:\n  - %s\n" (join "\n  - " $wrong)) -}}
{{- end -}}
{{- end -}}
