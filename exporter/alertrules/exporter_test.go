package alertrules

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/otelcol-adaptive/otelcol-adaptive/exporter/alertrules/internal/metadata"
)

// host has extensions.
type host struct {
	component.Host
	extensions map[component.ID]component.Component
}

func (h host) GetExtensions() map[component.ID]component.Component { return h.extensions }

// sink is an extension that takes metrics.
type sink struct {
	component.StartFunc
	component.ShutdownFunc
	consumertest.MetricsSink
	err error
}

func (s *sink) ConsumeMetrics(ctx context.Context, md pmetric.Metrics) error {
	return errors.Join(s.err, s.MetricsSink.ConsumeMetrics(ctx, md))
}

// other is an extension that does not.
type other struct {
	component.StartFunc
	component.ShutdownFunc
}

func TestMetricsReachTheExtensionAndItsErrorReachesTheCaller(t *testing.T) {
	id := component.MustNewIDWithName("alertmanager", "mine")
	s := &sink{}
	e, err := NewFactory().CreateMetrics(t.Context(), exportertest.NewNopSettings(metadata.Type), &Config{Extension: id})
	require.NoError(t, err)
	require.NoError(t, e.Start(t.Context(), host{extensions: map[component.ID]component.Component{id: s}}))
	md := pmetric.NewMetrics()
	md.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty().Metrics().AppendEmpty().SetEmptyGauge().DataPoints().AppendEmpty()
	require.NoError(t, e.ConsumeMetrics(t.Context(), md))
	assert.Equal(t, 1, s.DataPointCount())
	s.err = errors.New("disk full")
	require.ErrorContains(t, e.ConsumeMetrics(t.Context(), md), "disk full")
	require.NoError(t, e.Shutdown(t.Context()))
}

func TestAnExtensionThatIsMissingOrAnotherStopsTheStart(t *testing.T) {
	for want, extensions := range map[string]map[component.ID]component.Component{
		"not among `service::extensions`": nil,
		"is no alertmanager extension":    {component.MustNewID("alertmanager"): &other{}},
	} {
		e, err := NewFactory().CreateMetrics(t.Context(), exportertest.NewNopSettings(metadata.Type), NewFactory().CreateDefaultConfig())
		require.NoError(t, err)
		assert.ErrorContains(t, e.Start(t.Context(), host{Host: componenttest.NewNopHost(), extensions: extensions}), want)
	}
}

func TestTheExtensionMustBeNamed(t *testing.T) {
	require.NoError(t, confmap.Validate(NewFactory().CreateDefaultConfig()))
	assert.ErrorContains(t, confmap.Validate(&Config{}), "`extension` must not be empty")
}
