{{- define "medforge.labels" -}}
app.kubernetes.io/name: medforge
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}
