package delivery

import (
	"go.opentelemetry.io/collector/confmap"
	"go.yaml.in/yaml/v3"
)

// asWritten returns a part of the raw configuration with the values from the environment and from files as they are written there. confmap
// reads those as YAML, keeps the text besides, and chooses once it knows the field's type, which it does not below `alertmanager`: a password
// of digits would lose its zeros, or not be text at all.
func asWritten(raw any) any {
	switch v := raw.(type) {
	case nil, string:
		return v
	case map[string]any:
		written := make(map[string]any, len(v))
		for key, value := range v {
			written[key] = asWritten(value)
		}
		return written
	case []any:
		written := make([]any, len(v))
		for i, value := range v {
			written[i] = asWritten(value)
		}
		return written
	}
	// Only confmap's own type, which is internal, becomes any type that is asked for.
	var expanded struct {
		Value any    `mapstructure:"value"`
		Text  string `mapstructure:"text"`
	}
	if err := confmap.NewFromStringMap(map[string]any{"value": raw, "text": raw}).Unmarshal(&expanded); err != nil {
		return raw
	}
	switch v := expanded.Value.(type) {
	case map[string]any, []any:
		return asWritten(v)
	case nil:
		if expanded.Text != "" { // a comment for YAML, such as #secret
			return expanded.Text
		}
		return nil
	}
	// Plain, so that who decodes it may take it for text, a number or a truth value.
	return &yaml.Node{Kind: yaml.ScalarNode, Value: expanded.Text}
}
