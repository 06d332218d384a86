package delivery

import (
	"os"
	"path/filepath"
	"strings"
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
		"(a)::slack_configs::0::text: template: :1: unclosed action":       {"{route: {receiver: a}, receivers: [{name: a, slack_configs: [{api_url: 'http://x', text: '{{ .Status'}]}]}", ""},
		"(a)::slack_configs::0::fields::0::value: template: :1: function":  {"{route: {receiver: a}, receivers: [{name: a, slack_configs: [{api_url: 'http://x', fields: [{title: t, value: '{{ nope 1 }}'}]}]}]}", ""},
		`(a)::email_configs::0::headers::"Subject": template: :1:12: exec`: {"{global: {smtp_smarthost: 'x:25', smtp_from: a@b}, route: {receiver: a}, receivers: [{name: a, email_configs: [{to: a@b, headers: {subject: '{{ template \"my.own\" . }}'}}]}]}", ""},
		"(a)::pagerduty_configs::0::description":                           {"{route: {receiver: a}, receivers: [{name: a, pagerduty_configs: [{routing_key: k, description: '{{ .Colour }}'}]}]}", ""},
		"cannot have continue in root ro":                                  {"{route: {receiver: a, continue: true}, receivers: [{name: a}]}", ""},
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

// TestFilesThatAreMissingAreFound names what cannot be read, with the key and the reason.
func TestFilesThatAreMissingAreFound(t *testing.T) {
	directory := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(directory, "there"), []byte("x"), 0o600))
	t.Chdir(directory)
	const configuration = `
global:
  smtp_from: a@b
  smtp_smarthost: x:25
  smtp_auth_password_file: gone-1
  slack_api_url_file: gone-2
  opsgenie_api_key_file: there
  http_config: {tls_config: {ca_file: gone-3}}
route: {receiver: all}
templates: [gone-4.tmpl, 'none/*.tmpl']
receivers:
  - name: all
    email_configs: [{to: a@b}, {to: a@b, auth_secret_file: gone-5}]
    slack_configs: [{channel: c}, {channel: c, api_url_file: there}]
    pagerduty_configs: [{routing_key: k, details: {log_file: a user's own key}}, {service_key_file: .}]
    webhook_configs:
      - {url_file: gone-6}
      - {url: 'http://x', http_config: {basic_auth: {username: u, password_file: gone-7}}}
      - {url: 'http://x', http_config: {authorization: {credentials_file: gone-8}}}
      - {url: 'http://x', http_config: {oauth2: {client_id: c, client_secret_file: gone-9, token_url: 'http://x'}}}
      - {url: 'http://x', http_config: {http_headers: {X-Key: {files: [there, gone-10]}}}}
    opsgenie_configs: [{}]
`
	want := map[string]string{
		"gone-1": "global::smtp_auth_password_file", "gone-2": "global::slack_api_url_file", "gone-3": "global::http_config::tls_config::ca_file",
		"gone-4.tmpl": "templates::0", "gone-5": "receivers (all)::email_configs::1::auth_secret_file",
		"gone-6": "receivers (all)::webhook_configs::0::url_file", "gone-7": "receivers (all)::webhook_configs::1::http_config::basic_auth::password_file",
		"gone-8":  "receivers (all)::webhook_configs::2::http_config::authorization::credentials_file",
		"gone-9":  "receivers (all)::webhook_configs::3::http_config::oauth2::client_secret_file",
		"gone-10": "receivers (all)::webhook_configs::4::http_config::http_headers::\"X-Key\"::files::1",
	}
	_, err := Parse(decodeYAML(t, configuration), "")
	require.Error(t, err)
	lines := strings.Split(err.Error(), "\n")
	for file, key := range want {
		assert.Contains(t, lines, "`alertmanager`::"+key+": stat "+file+": no such file or directory")
	}
	assert.Contains(t, lines, "`alertmanager`::receivers (all)::pagerduty_configs::1::service_key_file: . is no file")
	assert.Len(t, lines, len(want)+1)

	// Of a file of its own, Alertmanager looks for some paths beside it.
	elsewhere := t.TempDir()
	file := filepath.Join(elsewhere, "alertmanager.yml")
	require.NoError(t, os.WriteFile(file, []byte("{route: {receiver: a}, receivers: [{name: a, webhook_configs: [{url: 'http://x', http_config: {tls_config: {ca_file: there}}}]}]}"), 0o600))
	_, err = Parse(nil, file)
	require.ErrorContains(t, err, "`config_file`::receivers (a)::webhook_configs::0::http_config::tls_config::ca_file: stat "+filepath.Join(elsewhere, "there"))
	require.NoError(t, os.WriteFile(filepath.Join(elsewhere, "there"), nil, 0o600))
	_, err = Parse(nil, file)
	require.NoError(t, err)
}

// TestTheClientThatCannotBeGuardedIsRefused is about the one notifier that can connect by itself.
func TestTheClientThatCannotBeGuardedIsRefused(t *testing.T) {
	parse := func(keys string) error {
		_, err := Parse(decodeYAML(t, `{route: {receiver: a}, receivers: [{name: a, sns_configs: [{topic_arn: t, sigv4: {region: r}`+keys+`}]}]}`), "")
		return err
	}
	t.Setenv("AWS_CA_BUNDLE", "")
	require.NoError(t, parse(""))
	require.ErrorContains(t, parse(", use_aws_http_client: true"), "`alertmanager`::receivers (a)::sns_configs::0::use_aws_http_client must be false, found true")
	t.Setenv("AWS_CA_BUNDLE", "/etc/ca.pem")
	require.ErrorContains(t, parse(""), `AWS_CA_BUNDLE must not be set, found "/etc/ca.pem"`)
}
