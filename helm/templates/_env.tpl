{{/* Every environment variable except secrets, as a map. For a blank value the gateway takes its own default. */}}
{{- define "tidings.env" -}}
{{- $c := .Values.config -}}
{{- $env := dict
  "HOST" $c.host
  "PORT" (int .Values.ports.http)
  "SSE_ADAPTER" $c.adapter
  "LOG_LEVEL" $c.logLevel
  "TRUST_PROXY" $c.trustProxy
  "DOCS" $c.docs
  "HISTORY_SIZE" (int $c.historySize)
  "HISTORY_TTL_MS" (int $c.historyTtlMs)
  "TOKEN_MAX_LIFE_MS" (int64 $c.tokenMaxLifeMs)
  "HEARTBEAT_MS" (int $c.heartbeatMs)
  "CONNECTION_MAX_AGE_MS" (int $c.connectionMaxAgeMs)
  "MAX_CONNECTIONS" (int $c.maxConnections)
  "MAX_CONNECTIONS_PER_USER" (int $c.maxConnectionsPerUser)
  "MAX_ROOMS_PER_CONNECTION" (int $c.maxRoomsPerConnection)
  "MAX_EVENT_BYTES" (int $c.maxEventBytes)
  "QUEUE_LIMIT_BYTES" (int $c.queueLimitBytes)
  "RATE_LIMIT_PUBLISH" (int $c.rateLimitPublish)
  "RATE_LIMIT_ROOMS" (int $c.rateLimitRooms)
  "RATE_LIMIT_CONNECT" (int $c.rateLimitConnect)
  "DRAIN_DELAY_MS" (int .Values.drain.delayMs)
  "DRAIN_WINDOW_MS" (int .Values.drain.windowMs)
-}}
{{- $optional := dict
  "CORS_ORIGINS" (join "," $c.corsOrigins)
  "JWT_PUBLIC_KEY" $c.jwtPublicKey
  "JWKS_URL" $c.jwksUrl
  "JWT_ISSUER" $c.jwtIssuer
  "JWT_AUDIENCE" $c.jwtAudience
  "JWT_TYPE" $c.jwtType
  "AUTH_COOKIE" $c.authCookie
-}}
{{- if .Values.ports.admin -}}
{{- $_ := set $env "ADMIN_PORT" (int .Values.ports.admin) -}}
{{- end -}}
{{- if eq $c.adapter "redis" -}}
{{- $_ := set $env "REDIS_PREFIX" $c.redisPrefix -}}
{{- if gt (int $c.redisWaitReplicas) 0 -}}
{{- $_ := set $env "REDIS_WAIT_REPLICAS" (int $c.redisWaitReplicas) -}}
{{- $_ := set $env "REDIS_WAIT_MS" (int $c.redisWaitMs) -}}
{{- end -}}
{{- end -}}
{{- if .Values.tls.secretName -}}
{{- $_ := set $env "TLS_CERT" "/etc/tidings/tls/tls.crt" -}}
{{- $_ := set $env "TLS_KEY" "/etc/tidings/tls/tls.key" -}}
{{- end -}}
{{- range $name, $value := $optional -}}
{{- if $value -}}
{{- $_ := set $env $name $value -}}
{{- end -}}
{{- end -}}
{{- range $name, $value := $env }}
{{ $name }}: {{ $value | toString | quote }}
{{- end -}}
{{- end -}}
