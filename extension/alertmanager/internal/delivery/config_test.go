package delivery

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestConfigurationsAreCheckedAsAlertmanagerDoes(t *testing.T) {
	file := filepath.Join(t.TempDir(), "alertmanager.yml")
	require.NoError(t, os.WriteFile(file, []byte("route: {receiver: a}\nreceivers: [{name: a}]\n"), 0o600))
	_, err := Parse(nil, file)
	require.NoError(t, err)
	_, err = Parse(nil, "")
	require.NoError(t, err, "nobody is told")
	for want, test := range map[string]struct {
		raw  string
		file string
	}{
		"exclude each other":          {"{route: {receiver: a}}", file},
		"no such file":                {"", "/no/such/file"},
		`undefined receiver "b" used`: {"{route: {receiver: b}, receivers: [{name: a}]}", ""},
		"field colour not found":      {"{route: {receiver: a}, receivers: [{name: a}], colour: 1}", ""},
		"`alertmanager`::templates":   {"{route: {receiver: a}, receivers: [{name: a}], templates: ['" + file + "x', '[']}", ""},
		"missing to address in email": {"{route: {receiver: a}, receivers: [{name: a, email_configs: [{}]}]}", ""},
		"bad matcher format":          {"{route: {receiver: a, routes: [{matchers: ['x']}]}, receivers: [{name: a}]}", ""},
		"(a)::slack_configs::0::text: template: :1: unclosed action":      {"{route: {receiver: a}, receivers: [{name: a, slack_configs: [{api_url: 'http://x', text: '{{ .Status'}]}]}", ""},
		"(a)::slack_configs::0::fields::0::value: template: :1: function": {"{route: {receiver: a}, receivers: [{name: a, slack_configs: [{api_url: 'http://x', fields: [{title: t, value: '{{ nope 1 }}'}]}]}]}", ""},
		`(a)::email_configs::0::headers::Subject: template: :1:12: exec`:  {"{global: {smtp_smarthost: 'x:25', smtp_from: a@b}, route: {receiver: a}, receivers: [{name: a, email_configs: [{to: a@b, headers: {subject: '{{ template \"my.own\" . }}'}}]}]}", ""},
		"(a)::pagerduty_configs::0::description":                          {"{route: {receiver: a}, receivers: [{name: a, pagerduty_configs: [{routing_key: k, description: '{{ .Colour }}'}]}]}", ""},
		"cannot have continue in root ro":                                 {"{route: {receiver: a, continue: true}, receivers: [{name: a}]}", ""},
	} {
		var raw map[string]any
		if test.raw != "" {
			raw = decodeYAML(t, test.raw)
		}
		_, err := Parse(raw, test.file)
		assert.ErrorContains(t, err, want)
	}
	// What may be right for other alerts than one is no mistake, and the templates that Alertmanager has are none either.
	_, err = Parse(decodeYAML(t, `
global: {smtp_smarthost: 'x:25', smtp_from: a@b, slack_api_url: 'http://x/'}
route: {receiver: a}
receivers:
  - name: a
    email_configs: [{to: a@b}]
    slack_configs: [{text: '{{ (index .Alerts 7).Labels.host }} {{ .CommonLabels.host }} {{ (index .Alerts.Resolved 0).StartsAt }}'}]
    pagerduty_configs: [{routing_key: k}]
    webhook_configs: [{url: 'http://x/{{ .GroupLabels.team }}'}]
    telegram_configs: [{bot_token: t, chat_id: 1}]
`), "")
	require.NoError(t, err)
	_, err = New(Config{Alertmanager: map[string]any{"route": 1}})
	require.Error(t, err)
	_, err = New(Config{Directory: "/dev/null/x"})
	require.Error(t, err)
}
