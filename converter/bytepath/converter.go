package bytepath

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.opentelemetry.io/collector/confmap"
	"go.uber.org/zap"
)

// The receiver's key and its values: users write auto, true and false, the converter verified.
const (
	receiverType = "pooledotlp"
	decodeKey    = "decode"
	auto         = "auto"
	verified     = "verified"
)

// carriers are the component types that pass requests on, or send them, without looking into them.
var carriers = map[string]map[string]bool{
	"processor": {"memory_limiter": true, "adaptivebatch": true},
	"exporter":  {"pooledotlp": true},
}

// NewFactory returns the factory for ocb's `converters`.
func NewFactory() confmap.ConverterFactory {
	return confmap.NewConverterFactory(func(set confmap.ConverterSettings) confmap.Converter {
		logger := set.Logger
		if logger == nil {
			logger = zap.NewNop()
		}
		return &converter{logger: logger}
	})
}

type converter struct {
	logger *zap.Logger
}

// Convert sets `decode: verified` on every pooledotlp receiver that may leave requests encoded, unless it says `decode:
// true`. A receiver that says `decode: false` and may not is an error; all of them are reported together.
func (c *converter) Convert(_ context.Context, conf *confmap.Conf) error {
	// All of it at once: conf.Get leaves out components that have no settings.
	all := conf.ToStringMap()
	var errs []error
	encoded := map[string]any{}
	for _, id := range receivers(all) {
		mode := decodeMode(all, id)
		if mode != auto && mode != "false" && mode != verified {
			continue // true, or a value that the receiver refuses
		}
		obstacle, used := findObstacle(all, id)
		switch {
		case !used:
		case obstacle == nil:
			encoded[id] = map[string]any{decodeKey: verified}
		case mode != auto:
			errs = append(errs, fmt.Errorf("receivers::%s::%s: `%s` needs pipelines that leave requests encoded, but %w; "+
				"remove it from the pipeline, or set `%s: auto`", id, decodeKey, mode, obstacle, decodeKey))
		default:
			c.logger.Debug("receiver decodes its requests", zap.String("receiver", id), zap.Error(obstacle))
		}
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	if len(encoded) == 0 {
		return nil
	}
	return conf.Merge(confmap.NewFromStringMap(map[string]any{"receivers": encoded}))
}

// receivers lists the pooledotlp receivers that are configured, in a fixed order.
func receivers(all map[string]any) []string {
	section, _ := all["receivers"].(map[string]any)
	var ids []string
	for _, id := range slices.Sorted(maps.Keys(section)) {
		if typeOf(id) == receiverType {
			ids = append(ids, id)
		}
	}
	return ids
}

// decodeMode returns the receiver's `decode` as text.
func decodeMode(all map[string]any, id string) string {
	section, _ := all["receivers"].(map[string]any)
	settings, _ := section[id].(map[string]any)
	if value, set := settings[decodeKey]; set {
		return fmt.Sprint(value)
	}
	return auto
}

// findObstacle returns the first component behind a receiver that looks into the telemetry, and whether the receiver stands
// in any pipeline that it could leave encoded.
func findObstacle(all map[string]any, receiver string) (obstacle error, used bool) {
	service, _ := all["service"].(map[string]any)
	pipelines, _ := service["pipelines"].(map[string]any)
	for _, id := range slices.Sorted(maps.Keys(pipelines)) {
		settings, _ := pipelines[id].(map[string]any)
		if typeOf(id) == "profiles" || !slices.Contains(names(settings["receivers"]), receiver) {
			continue // profiles are always decoded
		}
		used = true
		for _, kind := range []string{"processor", "exporter"} {
			for _, name := range names(settings[kind+"s"]) {
				if !carriers[kind][typeOf(name)] {
					return fmt.Errorf("%s %q in pipeline %q looks into them", kind, name, id), true
				}
			}
		}
	}
	return nil, used
}

// names returns the strings of a list; anything else is left to the Collector to refuse.
func names(list any) []string {
	var out []string
	items, _ := list.([]any)
	for _, item := range items {
		if s, ok := item.(string); ok {
			out = append(out, strings.TrimSpace(s))
		}
	}
	return out
}

// typeOf returns the type in an ID such as "pooledotlp/second", or of a pipeline ID its signal.
func typeOf(id string) string {
	t, _, _ := strings.Cut(id, "/")
	return strings.TrimSpace(t)
}
