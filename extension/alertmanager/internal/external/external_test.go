package external

import (
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/assert"
)

func TestNamesAreThoseThatEveryAlertmanagerTakes(t *testing.T) {
	assert.Equal(t, labels.FromStrings("alertname", "HighCPU", "service_name", "gateway", "state", "old"),
		legacyNames(labels.FromStrings("alertname", "HighCPU", "service.name", "gateway", "state", "old")))
	assert.Equal(t, labels.FromStrings("service_name", "mine"),
		legacyNames(labels.FromStrings("service.name", "gateway", "service_name", "mine")), "what has the name keeps it")
	assert.Equal(t, 1, legacyNames(labels.FromStrings("a-b", "1", "a.b", "2")).Len())
}
