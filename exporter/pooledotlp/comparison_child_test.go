package pooledotlp

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/confignet"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/receiver/receivertest"
)

// comparisonChild is the environment variable that tells the child what to run, as JSON.
const comparisonChild = "POOLEDOTLP_COMPARISON_CHILD"

// subject is what is compared: an exporter behind a stock otlp receiver, in a process of its own.
type subject struct {
	Name        string
	Stock       bool
	Compression string
	Keys        map[string]any
	Backend     string
}

// TestComparisonChild is the process that is measured. It prints the address of its receiver, and ends with its input.
func TestComparisonChild(t *testing.T) {
	encoded := os.Getenv(comparisonChild)
	if encoded == "" {
		t.Skip("only as a child of the comparisons")
	}
	var s subject
	require.NoError(t, json.Unmarshal([]byte(encoded), &s))
	var e exporter.Traces
	if s.Stock {
		e = stockTraces(t, s.Backend, s.Compression)
	} else {
		keys := map[string]any{
			"endpoint": s.Backend, "compression": s.Compression, "sending_queue": map[string]any{"enabled": false},
		}
		for k, v := range s.Keys {
			keys[k] = v
		}
		e = startTracesExporter(t, keys)
	}
	factory := otlpreceiver.NewFactory()
	cfg := factory.CreateDefaultConfig().(*otlpreceiver.Config)
	endpoint := freeAddress(t)
	cfg.Protocols.GRPC.GetOrInsertDefault().NetAddr = confignet.AddrConfig{Endpoint: endpoint, Transport: confignet.TransportTypeTCP}
	r, err := factory.CreateTraces(context.Background(), receivertest.NewNopSettings(factory.Type()), cfg, e)
	require.NoError(t, err)
	startComponent(t, r, componenttest.NewNopHost())
	fmt.Println("listening", endpoint)
	_, _ = io.Copy(io.Discard, os.Stdin)
}
