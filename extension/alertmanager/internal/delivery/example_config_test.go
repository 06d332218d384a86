package delivery

import (
	"os"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTheExamplesInhibitionMutesTheSameAlertOnly(t *testing.T) {
	content, err := os.ReadFile("../../../../examples/alerting/collector-config.yaml")
	require.NoError(t, err)
	example := decodeYAML(t, string(content))["extensions"].(map[string]any)["alertmanager"].(map[string]any)["alertmanager"].(map[string]any)
	d := start(t, Config{Alertmanager: map[string]any{
		"route": map[string]any{"receiver": "nobody"}, "receivers": []any{map[string]any{"name": "nobody"}},
		"inhibit_rules": example["inhibit_rules"],
	}}, "")
	step := firing("GatewayNearlyFull", "processor", "adaptivebatch", "signal", "traces")
	step.Labels["severity"] = "critical"
	require.NoError(t, d.Send(t.Context(), step,
		firing("GatewayNearlyFull", "processor", "adaptivebatch", "signal", "traces"),
		firing("GatewayNearlyFull", "processor", "adaptivebatch", "signal", "logs"),
		firing("GatewayNearlyFull", "processor", "adaptivebatch/other", "signal", "traces"),
		firing("Other", "processor", "adaptivebatch", "signal", "traces"),
	))
	var muted []model.LabelSet
	require.Eventually(t, func() bool { // that the one that mutes is taken note of
		for _, a := range d.Active() {
			if len(a.InhibitedBy) > 0 {
				muted = append(muted, a.Labels)
			}
		}
		return len(muted) > 0
	}, wait, time.Millisecond)
	assert.Equal(t, []model.LabelSet{{
		"alertname": "GatewayNearlyFull", "processor": "adaptivebatch", "signal": "traces", "severity": "warning",
	}}, muted)
}
