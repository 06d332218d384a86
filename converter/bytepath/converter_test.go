package bytepath

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/confmap"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	contract "github.com/otelcol-adaptive/otelcol-adaptive/internal/bytepath"
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

func TestItsWordIsTakenOnceItHasRun(t *testing.T) {
	_, err := convert(t, gateway)
	require.NoError(t, err)
	assert.True(t, contract.HasConverter())
}

func TestAReceiverWithoutSettingsIsVerified(t *testing.T) {
	conf, err := convert(t, strings.Replace(gateway, "pooledotlp: {protocols: {grpc: {}}}", "pooledotlp: ", 1))
	require.NoError(t, err)
	assert.Equal(t, "verified", conf.Get("receivers::pooledotlp::decode"))
}

func TestWhateverLooksIntoTelemetryKeepsItsSignalDecoded(t *testing.T) {
	const traces, logs = "verified:logs", "verified:traces" // what is left
	for name, change := range map[string][3]string{
		"a stock processor":          {"[memory_limiter, adaptivebatch/slow]", "[memory_limiter, batch]", traces},
		"a stock exporter":           {"exporters: [pooledotlp/a, pooledotlp/b]", "exporters: [pooledotlp/a, debug]", traces},
		"a connector":                {"exporters: [pooledotlp/a, pooledotlp/b]", "exporters: [forward]", traces},
		"another pipeline":           {"metrics: {receivers: [otlp]", "traces/2: {receivers: [pooledotlp]", traces},
		"an ID with spaces":          {"metrics: {receivers: [otlp]", "' traces / 2': {receivers: [' pooledotlp ']", traces},
		"a name with spaces":         {"[memory_limiter, adaptivebatch/slow]", "[memory_limiter, ' batch / 2 ']", traces},
		"the last pipeline":          {"processors: [], exporters", "processors: [batch], exporters", logs},
		"a type that only resembles": {"[memory_limiter, adaptivebatch/slow]", "[memory_limiter2, adaptivebatch/slow]", traces},
	} {
		t.Run(name, func(t *testing.T) {
			yaml := strings.Replace(gateway, change[0], change[1], 1)
			require.NotEqual(t, gateway, yaml)
			conf, err := convert(t, yaml)
			require.NoError(t, err)
			assert.Equal(t, change[2], conf.Get("receivers::pooledotlp::decode"))

			// What was found out before does not count.
			for _, earlier := range []string{"verified:traces", "verified:traces,metrics,logs", "verified:"} {
				conf, err = convert(t, strings.Replace(yaml, "{protocols: {grpc: {}}}", "{decode: '"+earlier+"'}", 1))
				require.NoError(t, err)
				assert.Equal(t, change[2], conf.Get("receivers::pooledotlp::decode"))
			}
			_, err = convert(t, strings.Replace(yaml, "{protocols: {grpc: {}}}", "{decode: false}", 1))
			require.ErrorContains(t, err, "receivers::pooledotlp::decode: `false` needs")
		})
	}
}

func TestAReceiverWithoutAPipelineThatCarriesBytesDecodes(t *testing.T) {
	everywhere := strings.NewReplacer("[memory_limiter, adaptivebatch/slow]", "[batch]", "processors: []", "processors: [batch]").Replace(gateway)
	conf, err := convert(t, everywhere)
	require.NoError(t, err)
	assert.False(t, conf.IsSet("receivers::pooledotlp::decode"))

	conf, err = convert(t, strings.Replace(everywhere, "{protocols: {grpc: {}}}", "{decode: 'verified:traces'}", 1))
	require.NoError(t, err)
	assert.Equal(t, "auto", conf.Get("receivers::pooledotlp::decode"))
}

func TestASpacedReceiverIsOneAndTheSame(t *testing.T) {
	yaml := strings.NewReplacer("pooledotlp: {protocols", "'pooledotlp / x': {protocols", "receivers: [pooledotlp]", "receivers: [pooledotlp/x]",
		"receivers: [otlp, pooledotlp]", "receivers: [otlp, 'pooledotlp/ x']", "processors: []", "processors: [batch]").Replace(gateway)
	conf, err := convert(t, yaml)
	require.NoError(t, err)
	assert.Equal(t, "verified:traces", conf.Get("receivers::pooledotlp / x::decode"))
}

func TestTheLogTellsWhyASignalIsDecoded(t *testing.T) {
	core, logged := observer.New(zap.InfoLevel)
	r, err := confmap.NewRetrievedFromYAML([]byte(strings.Replace(gateway, "[memory_limiter, adaptivebatch/slow]", "[batch]", 1)))
	require.NoError(t, err)
	conf, err := r.AsConf()
	require.NoError(t, err)
	require.NoError(t, NewFactory().Create(confmap.ConverterSettings{Logger: zap.New(core)}).Convert(t.Context(), conf))
	require.Len(t, logged.All(), 1)
	assert.Equal(t, map[string]any{
		"receiver": "pooledotlp", "data_type": "traces", "because": `processor "batch" in pipeline "traces" looks into them`,
	}, logged.All()[0].ContextMap())
}

func TestTrueIsLeftAlone(t *testing.T) {
	conf, err := convert(t, strings.Replace(gateway, "{protocols: {grpc: {}}}", "{decode: true}", 1))
	require.NoError(t, err)
	assert.Equal(t, true, conf.Get("receivers::pooledotlp::decode"))
}

func TestNoValueIsAuto(t *testing.T) {
	conf, err := convert(t, strings.Replace(gateway, "{protocols: {grpc: {}}}", "{decode: }", 1))
	require.NoError(t, err)
	assert.Equal(t, "verified", conf.Get("receivers::pooledotlp::decode"))
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

func TestFalseHoldsForAReceiverInNoPipelineOfItsSignals(t *testing.T) {
	for _, pipelines := range []string{"{}", "{profiles: {receivers: [pooledotlp], exporters: [debug]}}"} {
		conf, err := convert(t, "receivers: {pooledotlp: {decode: false}}\nservice: {pipelines: "+pipelines+"}\n")
		require.NoError(t, err)
		assert.Equal(t, "verified", conf.Get("receivers::pooledotlp::decode"))
	}
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
