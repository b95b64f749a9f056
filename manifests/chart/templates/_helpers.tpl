{{- /* An image, by digest if there is one. */ -}}
{{- define "rds-csi.image" -}}
{{- with .image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ required "an image needs a tag or a digest" (default $.tag .tag) }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* The driver's configuration file. */ -}}
{{- define "rds-csi.config" -}}
{{ toYaml .Values.config }}
{{- end -}}

{{- /* Peers of a network policy. */ -}}
{{- define "rds-csi.cidrs" -}}
{{- range . }}
- ipBlock:
    cidr: {{ . }}
{{- end }}
{{- end -}}

{{- /* Ports of a network policy. */ -}}
{{- define "rds-csi.ports" -}}
{{- range . }}
- protocol: TCP
  port: {{ . }}
{{- end }}
{{- end -}}
