package bytepath

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// agent decodes, since something in front of the batches looks into the telemetry.
const agent = `
receivers: {otlp: {}}
processors: {memory_limiter: {}, attributes: {}, adaptivebatch: {timeout: 1s}, adaptivebatch/logs: }
exporters: {pooledotlp: {}, debug: {}}
connectors: {forward: {}}
service:
  pipelines:
    traces: {receivers: [otlp], processors: [memory_limiter, attributes, adaptivebatch], exporters: [pooledotlp]}
    metrics: {receivers: [otlp], processors: [adaptivebatch], exporters: [pooledotlp]}
    logs: {receivers: [otlp], processors: [attributes, adaptivebatch/logs, memory_limiter], exporters: [pooledotlp, debug]}
`

func TestAProcessorBehindWhichNobodyLooksEncodes(t *testing.T) {
	conf, err := convert(t, agent)
	require.NoError(t, err)
	assert.Equal(t, "verified", conf.Get("processors::adaptivebatch::encode"), "whatever stands in front of it")
	assert.Equal(t, "1s", conf.Get("processors::adaptivebatch::timeout"), "the other keys stay")
	assert.False(t, conf.IsSet("processors::adaptivebatch/logs::encode"), "debug looks into the logs")

	conf, err = convert(t, strings.Replace(agent, ", debug]", "]", 1))
	require.NoError(t, err)
	assert.Equal(t, "verified", conf.Get("processors::adaptivebatch/logs::encode"), "a processor without settings")
}

func TestWhateverLooksIntoBatchesKeepsThemDecoded(t *testing.T) {
	for name, change := range map[string][2]string{
		"a processor behind":       {"attributes, adaptivebatch]", "adaptivebatch, attributes]"},
		"a stock exporter":         {"adaptivebatch], exporters: [pooledotlp]}\n    metrics", "adaptivebatch], exporters: [debug]}\n    metrics"},
		"a connector":              {"exporters: [pooledotlp]}\n    logs", "exporters: [forward]}\n    logs"},
		"one of several pipelines": {"exporters: [pooledotlp]}\n    logs", "exporters: [pooledotlp, debug]}\n    logs"},
		"its own wish":             {"{timeout: 1s}", "{encode: false}"},
	} {
		t.Run(name, func(t *testing.T) {
			yaml := strings.Replace(agent, change[0], change[1], 1)
			require.NotEqual(t, agent, yaml)
			conf, err := convert(t, yaml)
			require.NoError(t, err)
			assert.NotEqual(t, "verified", conf.Get("processors::adaptivebatch::encode"))
		})
	}
}

func TestAnEarlierVerificationIsNotTakenOnTrust(t *testing.T) {
	yaml := strings.Replace(agent, "{timeout: 1s}", "{encode: verified}", 1)
	conf, err := convert(t, yaml)
	require.NoError(t, err)
	assert.Equal(t, "verified", conf.Get("processors::adaptivebatch::encode"))
	for _, change := range [][2]string{
		{"attributes, adaptivebatch]", "adaptivebatch, attributes]"},
		{"attributes, adaptivebatch], exporters: [pooledotlp]}\n    metrics: {receivers: [otlp], processors: [adaptivebatch]", "attributes], exporters: [pooledotlp]}\n    metrics: {receivers: [otlp], processors: []"},
	} {
		changed := strings.Replace(yaml, change[0], change[1], 1)
		require.NotEqual(t, yaml, changed)
		conf, err = convert(t, changed)
		require.NoError(t, err)
		assert.Equal(t, "auto", conf.Get("processors::adaptivebatch::encode"))
	}
}
