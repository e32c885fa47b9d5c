{{- define "agentos.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains "agentos" .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-agentos" (.Release.Name | trunc 32 | trimSuffix "-") -}}
{{- end -}}
{{- end -}}

{{/* app.kubernetes.io/name is the job of dashboards and rules (jobLabel), so no value changes it. */}}
{{- define "agentos.selector" -}}
app.kubernetes.io/name: agentos
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "agentos.labels" -}}
{{ include "agentos.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "agentos.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "agentos.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (ternary (include "agentos.fullname" .) "default" .Values.serviceAccount.create) -}}
{{- end -}}

{{/* The Secret's name; nothing while no key of it is used. */}}
{{- define "agentos.secret" -}}
{{- $used := values .Values.secret.keys | compact | concat (values .Values.secret.env) -}}
{{- if .Values.secret.create -}}
{{- if .Values.secret.existing }}{{ fail "secret.create and secret.existing exclude each other" }}{{ end -}}
{{- range $used -}}
{{- if not (hasKey $.Values.secret.create .) -}}
{{- fail (printf "secret.create has no key %q, which secret.keys or secret.env names" .) -}}
{{- end -}}
{{- end -}}
{{- include "agentos.fullname" . -}}
{{- else if .Values.secret.existing -}}
{{- .Values.secret.existing -}}
{{- else if $used -}}
{{- fail "secret.keys and secret.env name keys of a Secret: secret.existing or secret.create has to be set too" -}}
{{- end -}}
{{- end -}}

{{/* Where traces and metrics are pushed; nothing for nowhere. The Operator's Service has -collector behind the name. */}}
{{- define "agentos.otlpEndpoint" -}}
{{- if .Values.otlp.endpoint -}}
{{- .Values.otlp.endpoint -}}
{{- else if .Values.collector.enabled -}}
{{- printf "http://%s-collector:%s" (include "agentos.fullname" .) (ternary "4317" "4318" (eq .Values.otlp.protocol "grpc")) -}}
{{- end -}}
{{- end -}}

{{/* Runs under way and then the telemetry have shutdownTimeout each, after the sleep; 5 seconds are for the rest. */}}
{{- define "agentos.gracePeriod" -}}
{{- addf .Values.preStopSeconds (mulf 2 .Values.shutdownTimeout) 5 | ceil | int -}}
{{- end -}}

{{- define "agentos.monitor" -}}
{{- $known := .Capabilities.APIVersions.Has "monitoring.coreos.com/v1/ServiceMonitor" -}}
{{- eq .Values.metrics.monitor "auto" | ternary (ternary "ServiceMonitor" "none" $known) .Values.metrics.monitor -}}
{{- end -}}

{{/* A generated file with the site's addresses in its links. The addresses replaced are those of dashboards/config.py. */}}
{{- define "agentos.linked" -}}
{{- $root := index . 0 -}}
{{- $text := $root.Files.Get (index . 1) -}}
{{- with $root.Values.links.grafana }}{{ $text = $text | replace "http://localhost:3000" (trimSuffix "/" .) }}{{ end -}}
{{- with $root.Values.links.runbooks }}{{ $text = $text | replace "http://localhost:9090/user" (trimSuffix "/" .) }}{{ end -}}
{{- $text -}}
{{- end -}}

{{/* What one scrape is, for ServiceMonitor and PodMonitor. OpenMetrics first: it has the exemplars. Native histograms come
     by Protocol Buffers alone. */}}
{{- define "agentos.scrape" -}}
path: /metrics
interval: {{ .Values.metrics.interval }}s
scrapeTimeout: {{ .Values.metrics.scrapeTimeout }}s
{{- if .Values.secret.keys.metricsTokens }}
authorization:
  type: Bearer
  credentials:
    name: {{ include "agentos.secret" . }}
    key: {{ .Values.secret.keys.scrapeToken | default .Values.secret.keys.metricsTokens }}
{{- end }}
{{- end -}}

{{- define "agentos.scrapeFormats" -}}
{{- if .Values.metrics.nativeHistograms }}
scrapeNativeHistograms: true
scrapeProtocols: [PrometheusProto, OpenMetricsText1.0.0, OpenMetricsText0.0.1, PrometheusText0.0.4]
{{- else }}
scrapeProtocols: [OpenMetricsText1.0.0, OpenMetricsText0.0.1, PrometheusText0.0.4]
{{- end }}
{{- end -}}
