package bytepath

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.opentelemetry.io/collector/confmap"
	"go.uber.org/zap"

	contract "github.com/otelcol-adaptive/otelcol-adaptive/internal/bytepath"
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

// signals are those whose requests can stay encoded. Profiles are always decoded, so their pipelines do not count.
var signals = []string{"traces", "metrics", "logs"}

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

// Convert sets `decode: verified` on every pooledotlp receiver that may leave requests encoded, unless it says `decode: true`, with the
// signals for which it may if not for all; and `encode: verified` on every adaptivebatch processor that may encode what it gets, unless
// it says `encode: false`. A receiver that says `decode: false` and may not for all of its signals is an error; all of them are
// reported together.
func (c *converter) Convert(_ context.Context, conf *confmap.Conf) error {
	// All of it at once: conf.Get leaves out components that have no settings.
	all := conf.ToStringMap()
	receivers, err := c.receivers(all)
	if err != nil {
		return err
	}
	contract.Converted()
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
	set := map[string]any{}
	for _, key := range ofType(all, "receivers", receiverType) {
		mode := modeOf(all, "receivers", key, decodeKey)
		must := mode == "false" || mode == verified
		if !must && mode != auto && !strings.HasPrefix(mode, verified+":") {
			continue // true, or a value that the receiver refuses
		}
		used, encoded, obstacle := c.signalsOf(all, key)
		switch {
		case must && obstacle != nil:
			errs = append(errs, fmt.Errorf("receivers::%s::%s: `%s` needs pipelines that leave requests encoded, but %w; "+
				"remove it from the pipeline, or set `%s: auto`", key, decodeKey, mode, obstacle, decodeKey))
		case must, used > 0 && len(encoded) == used:
			set[key] = map[string]any{decodeKey: verified}
		case len(encoded) > 0:
			set[key] = map[string]any{decodeKey: verified + ":" + strings.Join(encoded, ",")}
		case mode != auto:
			set[key] = map[string]any{decodeKey: auto}
		}
	}
	return set, errors.Join(errs...)
}

// signalsOf returns how many signals with encoded requests a receiver has, which of them may stay encoded, and why the others may not.
func (c *converter) signalsOf(all map[string]any, receiver string) (used int, encoded []string, first error) {
	for _, signal := range signals {
		obstacle, has := findObstacle(all, "receivers", receiver, signal)
		if !has {
			continue
		}
		used++
		if obstacle == nil {
			encoded = append(encoded, signal)
			continue
		}
		first = cmp.Or(first, obstacle)
		c.logger.Info("Requests are decoded.", zap.String("receiver", receiver), zap.String("data_type", signal), zap.NamedError("because", obstacle))
	}
	return used, encoded, first
}

// processors returns what to set on processors. `verified` is never taken on trust: it may stem from a configuration that was printed.
func (c *converter) processors(all map[string]any) map[string]any {
	encoding := map[string]any{}
	for _, id := range ofType(all, "processors", processorType) {
		mode := modeOf(all, "processors", id, encodeKey)
		if mode != auto && mode != verified {
			continue // false, or a value that the processor refuses
		}
		obstacle, used := findObstacle(all, "processors", id, signals...)
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

// ofType lists the keys of a section whose components are of a type, in a fixed order.
func ofType(all map[string]any, section, wanted string) []string {
	components, _ := all[section].(map[string]any)
	var keys []string
	for _, key := range slices.Sorted(maps.Keys(components)) {
		if typeOf(key) == wanted {
			keys = append(keys, key)
		}
	}
	return keys
}

// modeOf returns the value of a component's key as text; auto where there is none.
func modeOf(all map[string]any, section, component, key string) string {
	components, _ := all[section].(map[string]any)
	settings, _ := components[component].(map[string]any)
	if value := settings[key]; value != nil {
		return fmt.Sprint(value)
	}
	return auto
}

// findObstacle returns the first component behind a receiver or processor that looks into the telemetry, and whether it stands in any
// pipeline of the signals.
func findObstacle(all map[string]any, section, component string, signals ...string) (obstacle error, used bool) {
	service, _ := all["service"].(map[string]any)
	pipelines, _ := service["pipelines"].(map[string]any)
	component = normal(component)
	for _, id := range slices.Sorted(maps.Keys(pipelines)) {
		settings, _ := pipelines[id].(map[string]any)
		members := names(settings[section])
		if !slices.Contains(signals, typeOf(id)) || !slices.Contains(members, component) {
			continue
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

// names returns the IDs in a list; anything else is left to the Collector to refuse.
func names(list any) []string {
	var out []string
	items, _ := list.([]any)
	for _, item := range items {
		if s, ok := item.(string); ok {
			out = append(out, normal(s))
		}
	}
	return out
}

// normal writes an ID as the Collector does, which ignores space around its parts: what is the same to it must be the same here.
func normal(id string) string {
	t, name, named := strings.Cut(id, "/")
	if !named {
		return strings.TrimSpace(t)
	}
	return strings.TrimSpace(t) + "/" + strings.TrimSpace(name)
}

// typeOf returns the type in an ID such as "pooledotlp/second", or of a pipeline ID its signal.
func typeOf(id string) string {
	t, _, _ := strings.Cut(normal(id), "/")
	return t
}
