package pooledotlp

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/exporter/exportertest"

	"github.com/otelcol-adaptive/otelcol-adaptive/exporter/pooledotlp/internal/metadata"
	"github.com/otelcol-adaptive/otelcol-adaptive/internal/bufpool/bufpooltest"
)

func TestEncodedRequestsAreLeftOutOfTheCollectorsHeadroom(t *testing.T) {
	bufpooltest.WithoutGOGC(t)
	e := newTracesExporter(t, exportertest.NewNopSettings(metadata.Type), newConfig(t, map[string]any{"endpoint": freeAddress(t)}))
	startComponent(t, e, componenttest.NewNopHost())
	bufpooltest.RequireLeftOutUntil(t, e.(tracesExporter).pooled, func() { assert.NoError(t, e.Shutdown(t.Context())) })
}
