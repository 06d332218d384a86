package alertmanager

import (
	"context"
	"io"
	"net/http"
	"testing"

	"github.com/open-telemetry/opentelemetry-collector-contrib/extension/bearertokenauthextension"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/extension/extensiontest"
)

// everywhere is a path of each part: page, API, event stream, Alertmanager's API.
var everywhere = []string{"/", "/app.js", "/api/v1/alerts", "/api/v1/openapi.yaml", "/api/v1/events", "/api/v2/alerts", "/api/v2/status"}

// ask returns the status of an answer and, unless that is a success, its body.
func (e *Extension) ask(t *testing.T, path, host, authorization string) (int, string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel() // ends a stream of events
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, e.url(path), http.NoBody)
	require.NoError(t, err)
	request.Host = host
	if authorization != "" {
		request.Header.Set("Authorization", authorization)
	}
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	if response.StatusCode == http.StatusOK {
		return response.StatusCode, ""
	}
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(body)
}

// bearer is a host with the authenticator of the distribution.
func bearer(t *testing.T, token string) component.Host {
	t.Helper()
	factory := bearertokenauthextension.NewFactory()
	cfg := factory.CreateDefaultConfig()
	require.NoError(t, confmap.NewFromStringMap(map[string]any{"token": token}).Unmarshal(cfg))
	auth, err := factory.Create(t.Context(), extensiontest.NewNopSettings(factory.Type()), cfg)
	require.NoError(t, err)
	require.NoError(t, auth.Start(t.Context(), componenttest.NewNopHost()))
	t.Cleanup(func() { require.NoError(t, auth.Shutdown(context.Background())) })
	return hostWith{componenttest.NewNopHost(), map[component.ID]component.Component{component.NewID(factory.Type()): auth}}
}

type hostWith struct {
	component.Host
	extensions map[component.ID]component.Component
}

func (h hostWith) GetExtensions() map[component.ID]component.Component { return h.extensions }

func TestANameThatIsMadeToResolveToLoopbackIsRefused(t *testing.T) {
	e := startExtension(t, t.TempDir(), map[string]any{"external_url": "https://proxy.example/alerts", "allowed_hosts": []any{"Monitor.example"}})
	for _, path := range everywhere {
		for _, host := range []string{"evil.example", "evil.example:9093", "localhost.evil.example", "127.0.0.1.evil.example", "192.0.2.1", "[::2]:80"} {
			status, body := e.ask(t, path, host, "")
			assert.Equal(t, http.StatusForbidden, status, "%s %s", host, path)
			assert.Contains(t, body, "`allowed_hosts`")
		}
		for _, host := range []string{
			"", "localhost", "LocalHost:1", "localhost.", "127.0.0.1:1", "127.9.9.9", "[::1]:80", "[::1]", "proxy.example", "monitor.example:443",
		} {
			status, _ := e.ask(t, path, host, "")
			assert.Equal(t, http.StatusOK, status, "%s %s", host, path)
		}
	}
}

func TestAnAuthenticatorGuardsEverythingAndMakesNamesFree(t *testing.T) {
	const right = "Bearer s3cr3t-t0k3n"
	e := startExtensionOn(t, bearer(t, "s3cr3t-t0k3n"), t.TempDir(), map[string]any{
		"http": map[string]any{"auth": map[string]any{"authenticator": "bearertokenauth"}},
	})
	for _, path := range everywhere {
		for _, wrong := range []string{"", "Bearer other", "Basic s3cr3t-t0k3n"} {
			status, _ := e.ask(t, path, "", wrong)
			assert.Equal(t, http.StatusUnauthorized, status, "%q %s", wrong, path)
		}
		status, _ := e.ask(t, path, "", right)
		assert.Equal(t, http.StatusOK, status, path)
		status, _ = e.ask(t, path, "alerts.example", right)
		assert.Equal(t, http.StatusOK, status, "a browser elsewhere has no credentials: %s", path)
	}
	for _, path := range []string{"/api/v1/alerts/x/acknowledge", "/api/v1/alerts/x/resolve", "/api/v2/alerts", "/api/v2/silences"} {
		status, _ := post(t, e.url(path), "[]")
		assert.Equal(t, http.StatusUnauthorized, status, path)
		status, _ = post(t, e.url(path), "[]", "Authorization", right)
		assert.NotEqual(t, http.StatusUnauthorized, status, path)
	}
}
