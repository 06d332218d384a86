package bytepath

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/confmap"
)

// convert runs the converter over a configuration whose receivers are given as "id: settings" lines.
func convert(t *testing.T, yaml string) (*confmap.Conf, error) {
	t.Helper()
	r, err := confmap.NewRetrievedFromYAML([]byte(yaml))
	require.NoError(t, err)
	conf, err := r.AsConf()
	require.NoError(t, err)
	err = NewFactory().Create(confmap.ConverterSettings{}).Convert(context.Background(), conf)
	return conf, err
}

const gateway = `
receivers: {pooledotlp: {protocols: {grpc: {}}}, otlp: {}}
processors: {memory_limiter: {}, adaptivebatch/slow: {}, batch: {}}
exporters: {pooledotlp/a: {}, pooledotlp/b: {}, debug: {}}
connectors: {forward: {}}
service:
  pipelines:
    traces: {receivers: [pooledotlp], processors: [memory_limiter, adaptivebatch/slow], exporters: [pooledotlp/a, pooledotlp/b]}
    logs: {receivers: [otlp, pooledotlp], processors: [], exporters: [pooledotlp/a]}
    metrics: {receivers: [otlp], processors: [batch], exporters: [debug]}
`

func TestAReceiverWhosePipelinesAllCarryBytesIsVerified(t *testing.T) {
	conf, err := convert(t, gateway)
	require.NoError(t, err)
	assert.Equal(t, "verified", conf.Get("receivers::pooledotlp::decode"))
	assert.NotNil(t, conf.Get("receivers::pooledotlp::protocols"), "the other keys stay")
	assert.False(t, conf.IsSet("receivers::otlp::decode"))
}

func TestAReceiverWithoutSettingsIsVerified(t *testing.T) {
	conf, err := convert(t, strings.Replace(gateway, "pooledotlp: {protocols: {grpc: {}}}", "pooledotlp: ", 1))
	require.NoError(t, err)
	assert.Equal(t, "verified", conf.Get("receivers::pooledotlp::decode"))
}

func TestWhateverLooksIntoTelemetryKeepsTheReceiverDecoding(t *testing.T) {
	for name, change := range map[string][2]string{
		"a stock processor":          {"[memory_limiter, adaptivebatch/slow]", "[memory_limiter, batch]"},
		"a stock exporter":           {"exporters: [pooledotlp/a, pooledotlp/b]", "exporters: [pooledotlp/a, debug]"},
		"a connector":                {"exporters: [pooledotlp/a, pooledotlp/b]", "exporters: [forward]"},
		"one of several pipelines":   {"processors: [], exporters", "processors: [batch], exporters"},
		"a type that only resembles": {"[memory_limiter, adaptivebatch/slow]", "[memory_limiter2, adaptivebatch/slow]"},
	} {
		t.Run(name, func(t *testing.T) {
			yaml := strings.Replace(gateway, change[0], change[1], 1)
			require.NotEqual(t, gateway, yaml)
			conf, err := convert(t, yaml)
			require.NoError(t, err)
			assert.False(t, conf.IsSet("receivers::pooledotlp::decode"))
		})
	}
}

func TestTrueIsLeftAlone(t *testing.T) {
	conf, err := convert(t, strings.Replace(gateway, "{protocols: {grpc: {}}}", "{decode: true}", 1))
	require.NoError(t, err)
	assert.Equal(t, true, conf.Get("receivers::pooledotlp::decode"))
}

func TestAnUnknownValueIsLeftToTheReceiver(t *testing.T) {
	conf, err := convert(t, strings.Replace(gateway, "{protocols: {grpc: {}}}", "{decode: maybe}", 1))
	require.NoError(t, err)
	assert.Equal(t, "maybe", conf.Get("receivers::pooledotlp::decode"))
}

func TestFalseIsVerifiedOrRefusedWithComponentPipelineAndRemedy(t *testing.T) {
	for _, value := range []string{"false", "verified"} {
		yaml := strings.Replace(gateway, "{protocols: {grpc: {}}}", "{decode: "+value+"}", 1)
		conf, err := convert(t, yaml)
		require.NoError(t, err)
		assert.Equal(t, "verified", conf.Get("receivers::pooledotlp::decode"))

		_, err = convert(t, strings.Replace(yaml, "[memory_limiter, adaptivebatch/slow]", "[memory_limiter, batch]", 1))
		assert.EqualError(t, err, "receivers::pooledotlp::decode: `"+value+"` needs pipelines that leave requests encoded, but "+
			"processor \"batch\" in pipeline \"traces\" looks into them; remove it from the pipeline, or set `decode: auto`")
	}
}

func TestAllRefusalsAreReportedTogether(t *testing.T) {
	_, err := convert(t, `
receivers: {pooledotlp/a: {decode: false}, pooledotlp/b: {decode: false}}
exporters: {debug: {}}
service: {pipelines: {traces: {receivers: [pooledotlp/a, pooledotlp/b], exporters: [debug]}}}
`)
	require.ErrorContains(t, err, "receivers::pooledotlp/a")
	require.ErrorContains(t, err, "receivers::pooledotlp/b")
}

func TestProfilesPipelinesAreNoObstacle(t *testing.T) {
	conf, err := convert(t, gateway+"    profiles: {receivers: [pooledotlp], exporters: [debug]}\n")
	require.NoError(t, err)
	assert.Equal(t, "verified", conf.Get("receivers::pooledotlp::decode"))
}

func TestAReceiverInNoPipelineIsLeftAlone(t *testing.T) {
	conf, err := convert(t, "receivers: {pooledotlp: {}}\nservice: {pipelines: {}}\n")
	require.NoError(t, err)
	assert.False(t, conf.IsSet("receivers::pooledotlp::decode"))
}

func TestMalformedConfigurationIsLeftToTheCollector(t *testing.T) {
	for _, yaml := range []string{
		"{}", "receivers: 5", "receivers: {pooledotlp: 5}", "receivers: {pooledotlp: {}}\nservice: 5",
		"receivers: {pooledotlp: {}}\nservice: {pipelines: {traces: 5, logs: {receivers: 5}, metrics: {receivers: [5]}}}",
	} {
		_, err := convert(t, yaml)
		assert.NoError(t, err, yaml)
	}
}
