package pooledotlp

import (
	"context"
	"maps"
	"net/http"
	"slices"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/config/configmiddleware"
	"go.opentelemetry.io/collector/extension/extensionmiddleware"
)

// newHTTPClient makes a client of the configuration whose CloseIdleConnections works. The Collector wraps the transport that has the
// connections in others, for telemetry and authentication, which do not pass that call on. A middleware of ours, the innermost, sees the
// transport itself.
func newHTTPClient(ctx context.Context, cfg confighttp.ClientConfig, host component.Host, set component.TelemetrySettings) (*http.Client, error) {
	bottom := &innermost{}
	extensions := map[component.ID]component.Component{innermostID: bottom}
	maps.Copy(extensions, host.GetExtensions())
	cfg.Middlewares = append(slices.Clone(cfg.Middlewares), configmiddleware.Config{ID: innermostID})
	client, err := cfg.ToClient(ctx, extensions, set)
	if err != nil {
		return nil, err
	}
	client.CheckRedirect = followWithBody
	client.Transport = closable{RoundTripper: client.Transport, innermost: &bottom.client}
	return client, nil
}

// innermostID is that of no extension in a configuration: there is none of this type.
var innermostID = component.MustNewIDWithName("pooledotlp", "innermost")

// innermost is a middleware that keeps the transport which it is given, and changes nothing.
type innermost struct {
	component.StartFunc
	component.ShutdownFunc
	client http.Client
}

// GetHTTPRoundTripper implements extensionmiddleware.HTTPClient.
func (m *innermost) GetHTTPRoundTripper(context.Context) (extensionmiddleware.WrapHTTPRoundTripperFunc, error) {
	return func(_ context.Context, transport http.RoundTripper) (http.RoundTripper, error) {
		m.client.Transport = transport
		return transport, nil
	}, nil
}

// closable is a transport with the idle connections of the innermost.
type closable struct {
	http.RoundTripper
	innermost *http.Client
}

// CloseIdleConnections is what http.Client looks for.
func (c closable) CloseIdleConnections() { c.innermost.CloseIdleConnections() }
