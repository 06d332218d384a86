package e2e

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/exporter/otlpexporter"
	"go.opentelemetry.io/collector/exporter/otlphttpexporter"
	"go.opentelemetry.io/collector/processor/batchprocessor"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.yaml.in/yaml/v3"
)

// replacement is a stock component and what takes its place.
type replacement struct {
	samples     string // file in testdata/dropin
	section     string // of a Collector configuration
	stock, ours string
	protocol    func(config map[string]any) string // what a renamed component needs besides
	factory     component.Factory
}

var replacements = []replacement{
	{samples: "processor_batch", section: "processors", stock: "batch", ours: "adaptivebatch", factory: batchprocessor.NewFactory()},
	{samples: "exporter_otlp", section: "exporters", stock: "otlp", ours: "pooledotlp", factory: otlpexporter.NewFactory()},
	{
		samples: "exporter_otlp_http", section: "exporters", stock: "otlp_http", ours: "pooledotlp",
		protocol: func(config map[string]any) string {
			if config["encoding"] == "json" {
				return "http/json"
			}
			return "http/protobuf"
		},
		factory: otlphttpexporter.NewFactory(),
	},
	{samples: "receiver_otlp", section: "receivers", stock: "otlp", ours: "pooledotlp", factory: otlpreceiver.NewFactory()},
}

type samples struct {
	Accepted map[string]map[string]any `yaml:"accepted"`
	Refused  map[string]map[string]any `yaml:"refused"`
}

func (r replacement) load(t *testing.T) samples {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", "dropin", r.samples+".yaml"))
	require.NoError(t, err)
	var s samples
	require.NoError(t, yaml.Unmarshal(content, &s))
	return s
}

// validate runs `validate` on one configuration that has every sample as a component of the given type.
func validate(t *testing.T, r replacement, componentType string, configs map[string]map[string]any) (string, error) {
	t.Helper()
	components := map[string]any{}
	for name, config := range configs {
		if componentType == r.ours && r.protocol != nil {
			config = maps.Clone(config)
			config["protocol"] = r.protocol(config)
		}
		components[componentType+"/"+name] = config
	}
	root := map[string]any{
		"receivers": map[string]any{"otlp": map[string]any{"protocols": map[string]any{"grpc": nil}}},
		"exporters": map[string]any{"nop": nil},
		"extensions": map[string]any{
			"basicauth":    map[string]any{"client_auth": map[string]any{"username": "u", "password": "p"}},
			"file_storage": map[string]any{"directory": t.TempDir()},
		},
		"service": map[string]any{
			"extensions": []string{"basicauth", "file_storage"},
			"pipelines":  map[string]any{"traces": map[string]any{"receivers": []string{"otlp"}, "exporters": []string{"nop"}}},
		},
	}
	section, _ := root[r.section].(map[string]any)
	if section == nil {
		section = map[string]any{}
	}
	maps.Copy(section, components)
	root[r.section] = section
	content, err := yaml.Marshal(root)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(path, content, 0o600))
	output, err := exec.Command(distribution(t), "validate", "--config", path).CombinedOutput()
	return string(output), err
}

// What the stock components take, ours take; what they refuse, ours refuse. The stock component of the same binary is the judge.
func TestAStockConfigurationIsTakenUnderOurNames(t *testing.T) {
	t.Parallel()
	for _, r := range replacements {
		t.Run(r.samples, func(t *testing.T) {
			t.Parallel()
			s := r.load(t)
			output, err := validate(t, r, r.stock, s.Accepted)
			require.NoError(t, err, "the sample is wrong: the stock component refuses it: %s", output)
			output, err = validate(t, r, r.ours, s.Accepted)
			assert.NoError(t, err, output)

			for name, config := range s.Refused {
				one := map[string]map[string]any{name: config}
				_, err = validate(t, r, r.stock, one)
				require.Error(t, err, "the sample %s is wrong: the stock component takes it", name)
				output, err = validate(t, r, r.ours, one)
				assert.Error(t, err, name)
				assert.Contains(t, output, r.ours+"/"+name, "the error names the component")
			}
		})
	}
}

// A key that a later Collector adds fails here until a sample has it.
func TestEveryStockKeyHasASample(t *testing.T) {
	t.Parallel()
	for _, r := range replacements {
		t.Run(r.samples, func(t *testing.T) {
			t.Parallel()
			sampled := map[string]bool{}
			for _, config := range r.load(t).Accepted {
				collectKeys("", config, sampled)
			}
			for _, key := range stockKeys("", reflect.TypeOf(r.factory.CreateDefaultConfig())) {
				if !sampled[key] {
					t.Errorf("no sample in testdata/dropin/%s.yaml has the key %s", r.samples, key)
				}
			}
		})
	}
}

func collectKeys(prefix string, config map[string]any, into map[string]bool) {
	for key, value := range config {
		into[prefix+key] = true
		if section, ok := value.(map[string]any); ok {
			collectKeys(prefix+key+"::", section, into)
		}
	}
}

// stockKeys lists the keys of a configuration type, sections included.
func stockKeys(prefix string, typ reflect.Type) []string {
	for typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	if typ.Kind() != reflect.Struct {
		return nil
	}
	if strings.HasPrefix(typ.Name(), "Optional[") {
		value, _ := typ.FieldByName("value")
		return stockKeys(prefix, value.Type)
	}
	var keys []string
	for field := range typ.Fields() {
		name, options, tagged := strings.Cut(field.Tag.Get("mapstructure"), ",")
		switch {
		case !field.IsExported() || name == "-":
		case tagged && slices.Contains(strings.Split(options, ","), "squash"):
			keys = append(keys, stockKeys(prefix, field.Type)...)
		case name != "":
			keys = append(keys, prefix+name)
			keys = append(keys, stockKeys(prefix+name+"::", field.Type)...)
		}
	}
	return keys
}
