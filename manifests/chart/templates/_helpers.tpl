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

{{- /* The data of the ConfigMap: the driver's configuration file, and the device profile that it names. */ -}}
{{- define "rds-csi.config" -}}
{{- $config := .Values.config -}}
{{- if .Values.deviceProfile -}}
{{- $config = merge (dict "device-profile" "/etc/rds-csi/device-profile.yaml") $config -}}
{{- end -}}
config.yaml: |
  {{- toYaml $config | nindent 2 }}
{{- with .Values.deviceProfile }}
device-profile.yaml: |
  {{- . | nindent 2 }}
{{- end }}
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
