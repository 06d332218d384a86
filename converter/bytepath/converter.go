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

// The components' keys and their values: users write auto, true and false, the converter verified.
const (
	receiverType  = "pooledotlp"
	decodeKey     = "decode"
	processorType = "adaptivebatch"
	encodeKey     = "encode"
	auto          = "auto"
	verified      = "verified"
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
// true`, and `encode: verified` on every adaptivebatch processor that may encode what it gets, unless it says `encode: false`. A receiver that
// says `decode: false` and may not is an error; all of them are reported together.
func (c *converter) Convert(_ context.Context, conf *confmap.Conf) error {
	// All of it at once: conf.Get leaves out components that have no settings.
	all := conf.ToStringMap()
	receivers, err := c.receivers(all)
	if err != nil {
		return err
	}
	found := map[string]any{}
	if len(receivers) > 0 {
		found["receivers"] = receivers
	}
	if processors := c.processors(all); len(processors) > 0 {
		found["processors"] = processors
	}
	if len(found) == 0 {
		return nil
	}
	return conf.Merge(confmap.NewFromStringMap(found))
}

// receivers returns what to set on receivers.
func (c *converter) receivers(all map[string]any) (map[string]any, error) {
	var errs []error
	encoded := map[string]any{}
	for _, id := range ofType(all, "receivers", receiverType) {
		mode := modeOf(all, "receivers", id, decodeKey)
		if mode != auto && mode != "false" && mode != verified {
			continue // true, or a value that the receiver refuses
		}
		obstacle, used := findObstacle(all, "receivers", id)
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
	return encoded, errors.Join(errs...)
}

// processors returns what to set on processors. `verified` is never taken on trust: it may stem from a configuration that was printed.
func (c *converter) processors(all map[string]any) map[string]any {
	encoding := map[string]any{}
	for _, id := range ofType(all, "processors", processorType) {
		mode := modeOf(all, "processors", id, encodeKey)
		if mode != auto && mode != verified {
			continue // false, or a value that the processor refuses
		}
		obstacle, used := findObstacle(all, "processors", id)
		switch {
		case used && obstacle == nil:
			encoding[id] = map[string]any{encodeKey: verified}
		case mode == verified:
			encoding[id] = map[string]any{encodeKey: auto}
		case used:
			c.logger.Debug("processor leaves what it gets decoded", zap.String("processor", id), zap.Error(obstacle))
		}
	}
	return encoding
}

// ofType lists the components of a section that are of a type, in a fixed order.
func ofType(all map[string]any, section, wanted string) []string {
	components, _ := all[section].(map[string]any)
	var ids []string
	for _, id := range slices.Sorted(maps.Keys(components)) {
		if typeOf(id) == wanted {
			ids = append(ids, id)
		}
	}
	return ids
}

// modeOf returns the value of a component's key as text.
func modeOf(all map[string]any, section, id, key string) string {
	components, _ := all[section].(map[string]any)
	settings, _ := components[id].(map[string]any)
	if value, set := settings[key]; set {
		return fmt.Sprint(value)
	}
	return auto
}

// findObstacle returns the first component behind a receiver or processor that looks into the telemetry, and whether it stands
// in any pipeline that requests could go through encoded.
func findObstacle(all map[string]any, section, component string) (obstacle error, used bool) {
	service, _ := all["service"].(map[string]any)
	pipelines, _ := service["pipelines"].(map[string]any)
	for _, id := range slices.Sorted(maps.Keys(pipelines)) {
		settings, _ := pipelines[id].(map[string]any)
		members := names(settings[section])
		if typeOf(id) == "profiles" || !slices.Contains(members, component) {
			continue // profiles are always decoded
		}
		used = true
		processors := names(settings["processors"])
		if section == "processors" {
			processors = members[slices.Index(members, component)+1:]
		}
		behind := map[string][]string{"processor": processors, "exporter": names(settings["exporters"])}
		for _, kind := range []string{"processor", "exporter"} {
			for _, name := range behind[kind] {
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
