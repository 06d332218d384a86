package alertmanager

import (
	"context"
	"maps"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/confmap"

	"github.com/otelcol-adaptive/otelcol-adaptive/extension/alertmanager/internal/delivery"
)

// provided stands for the Collector's provider of the environment, which reads values as YAML.
type provided map[string]string

func (provided) Scheme() string                 { return "env" }
func (provided) Shutdown(context.Context) error { return nil }
func (p provided) Retrieve(_ context.Context, uri string, _ confmap.WatcherFunc) (*confmap.Retrieved, error) {
	return confmap.NewRetrievedFromYAML([]byte(p[strings.TrimPrefix(uri, "env:")]))
}

// resolve returns the extension's configuration as the Collector reads it.
func resolve(t *testing.T, content string, environment map[string]string) *Config {
	t.Helper()
	values := maps.Clone(environment)
	values["content"] = content
	resolver, err := confmap.NewResolver(confmap.ResolverSettings{
		URIs: []string{"env:content"},
		ProviderFactories: []confmap.ProviderFactory{confmap.NewProviderFactory(func(confmap.ProviderSettings) confmap.Provider {
			return provided(values)
		})},
	})
	require.NoError(t, err)
	conf, err := resolver.Resolve(t.Context())
	require.NoError(t, err)
	cfg := createDefaultConfig().(*Config)
	require.NoError(t, conf.Unmarshal(cfg))
	return cfg
}

func TestAValueFromTheEnvironmentIsWhatItsFieldTakes(t *testing.T) {
	for _, password := range []string{
		"12345678", "0042", "1_000", "0x1F", "1e3", "true", "~", "#abc", "2026-01-01", "a#b", "'quoted'", "a\nb", "",
	} {
		cfg := resolve(t, `
alertmanager:
  global:
    smtp_smarthost: mail.example.com:587
    smtp_from: collector@example.com
    smtp_auth_password: ${env:PASSWORD}
    smtp_hello: ${env:UNSET}
  route: {receiver: ops, routes: [{receiver: ops, continue: "${env:RESOLVED}"}]}
  receivers:
    - name: ops
      email_configs: [{to: ops@example.com, send_resolved: "${env:UNSET}"}]
      telegram_configs: [{bot_token: "1", chat_id: "${env:CHAT}", send_resolved: "${env:RESOLVED}"}]
      webhook_configs: ["${env:HOOK}"]
rules:
  - {name: Slow, metric: latency, op: ">", threshold: "${env:COUNT}", labels: {team: "${env:TEAM}"}}
`, map[string]string{
			"PASSWORD": password, "CHAT": "-1001234", "RESOLVED": "false", "COUNT": "7", "TEAM": "0042",
			"HOOK": `{url: "http://127.0.0.1/${env:CHAT}", max_alerts: "${env:COUNT}"}`,
		})
		parsed, err := delivery.Parse(cfg.Alertmanager, "")
		require.NoError(t, err, password)
		assert.Equal(t, password, string(parsed.Global.SMTPAuthPassword))
		ops := parsed.Receivers[0]
		assert.EqualValues(t, -1001234, ops.TelegramConfigs[0].ChatID)
		assert.False(t, ops.TelegramConfigs[0].SendResolved())
		assert.False(t, ops.EmailConfigs[0].SendResolved(), "unset is the default")
		assert.EqualValues(t, 7, ops.WebhookConfigs[0].MaxAlerts)
		assert.False(t, parsed.Route.Routes[0].Continue)
		require.NoError(t, cfg.Validate())
		assert.Equal(t, "0042", cfg.Rules[0].Labels["team"])
	}
}
