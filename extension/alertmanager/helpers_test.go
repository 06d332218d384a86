package alertmanager

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	prometheusrules "github.com/prometheus/prometheus/rules"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/extension/extensiontest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/otelcol-adaptive/otelcol-adaptive/extension/alertmanager/internal/incidents"
	"github.com/otelcol-adaptive/otelcol-adaptive/extension/alertmanager/internal/metadata"
)

const wait = 30 * time.Second

// startExtension starts one with a second between evaluations and everything in the directory.
func startExtension(t *testing.T, directory string, keys map[string]any) *Extension {
	t.Helper()
	return startExtensionOn(t, componenttest.NewNopHost(), directory, keys)
}

func startExtensionOn(t *testing.T, host component.Host, directory string, keys map[string]any) *Extension {
	t.Helper()
	cfg := createDefaultConfig().(*Config)
	require.NoError(t, confmap.NewFromStringMap(keys).Unmarshal(cfg))
	cfg.HTTP.NetAddr.Endpoint, cfg.Storage.Directory, cfg.EvaluationInterval = "127.0.0.1:0", directory, time.Second
	require.NoError(t, confmap.Validate(cfg))
	e, err := NewFactory().Create(t.Context(), extensiontest.NewNopSettings(metadata.Type), cfg)
	require.NoError(t, err)
	require.NoError(t, e.Start(t.Context(), host))
	t.Cleanup(func() { require.NoError(t, e.Shutdown(context.Background())) })
	return e.(*Extension)
}

// feed stores one value of a gauge.
func (e *Extension) feed(t *testing.T, name string, value float64) {
	t.Helper()
	md := pmetric.NewMetrics()
	m := md.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty().Metrics().AppendEmpty()
	m.SetName(name)
	p := m.SetEmptyGauge().DataPoints().AppendEmpty()
	p.SetTimestamp(pcommon.NewTimestampFromTime(time.Now()))
	p.SetDoubleValue(value)
	p.Attributes().PutStr("exporter", "x")
	require.NoError(t, e.ConsumeMetrics(t.Context(), md))
}

func (e *Extension) url(path string) string { return "http://" + e.address.String() + path }

// get decodes an answer into a T.
func get[T any](t *testing.T, e *Extension, path string) T {
	t.Helper()
	response, err := http.Get(e.url(path))
	require.NoError(t, err)
	defer response.Body.Close()
	var value T
	require.Equal(t, http.StatusOK, response.StatusCode)
	require.NoError(t, json.NewDecoder(response.Body).Decode(&value))
	return value
}

// post returns status and body of the answer.
func post(t *testing.T, address, body string, headers ...string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader(body))
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(answer)
}

// await calls until the alerts that fire are as many as wanted, and returns them.
func (e *Extension) await(t *testing.T, count int) []incidents.Incident {
	t.Helper()
	var active []incidents.Incident
	require.Eventually(t, func() bool {
		active = get[[]incidents.Incident](t, e, "/api/v1/alerts")
		return len(active) == count
	}, wait, 20*time.Millisecond)
	return active
}

func queueRule(extra map[string]any) map[string]any {
	rule := map[string]any{
		"name": "QueueNearlyFull", "metric": "otelcol.self.queue.utilization", "match": map[string]any{"exporter": "x"},
		"op": ">", "threshold": 0.8, "severity": "warning", "annotations": map[string]any{"summary": "queue at {{ $value }}"},
	}
	for key, value := range extra {
		rule[key] = value
	}
	return map[string]any{"rules": []any{rule}}
}

// fires reports whether the engine itself has an alert of the rule.
func (e *Extension) fires(name string) bool {
	for _, group := range e.engine.Groups() {
		for _, rule := range group.AlertingRules() {
			if rule.Name() == name && rule.State() == prometheusrules.StateFiring {
				return true
			}
		}
	}
	return false
}
