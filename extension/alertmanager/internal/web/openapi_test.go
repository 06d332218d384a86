package web

import (
	"encoding/json"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/otelcol-adaptive/otelcol-adaptive/extension/alertmanager/internal/events"
	"github.com/otelcol-adaptive/otelcol-adaptive/extension/alertmanager/internal/incidents"
)

// schema is as much of an OpenAPI schema as there is here.
type schema struct {
	Properties map[string]schema
	AllOf      []schema `yaml:"allOf"`
	Ref        string   `yaml:"$ref"`
}

type description struct {
	Paths      map[string]map[string]any
	Components struct {
		Parameters map[string]any
		Schemas    map[string]schema
	}
}

func described(t *testing.T) description {
	t.Helper()
	var d description
	require.NoError(t, yaml.Unmarshal(openAPI, &d))
	return d
}

func TestTheDescriptionHasTheRoutesThatAreServed(t *testing.T) {
	var inDescription, served []string
	for path, methods := range described(t).Paths {
		for method := range methods {
			inDescription = append(inDescription, strings.ToUpper(method)+" "+path)
		}
	}
	for _, r := range (&Server{}).routes() {
		served = append(served, r.method+" "+r.path)
	}
	assert.ElementsMatch(t, served, inDescription)
}

// fields returns the names that a type has in JSON.
func fields(of reflect.Type) []string {
	var names []string
	for i := range of.NumField() {
		f := of.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous:
			names = append(names, fields(f.Type)...)
		case name != "":
			names = append(names, name)
		}
	}
	return names
}

// properties returns the names that a schema has, those of its parts included.
func (d description) properties(s schema) []string {
	names := slices.Collect(maps.Keys(s.Properties))
	for _, part := range s.AllOf {
		names = append(names, d.properties(part)...)
	}
	if s.Ref != "" {
		names = append(names, d.properties(d.Components.Schemas[strings.TrimPrefix(s.Ref, "#/components/schemas/")])...)
	}
	return names
}

func TestTheDescriptionHasTheFieldsOfEveryAnswer(t *testing.T) {
	d := described(t)
	types := map[string]any{
		"Order": order{}, "Alert": incidents.Incident{}, "ActiveAlert": activeAlert{}, "Statistics": incidents.Statistics{}, "Series": series{},
		"Rule": rule{}, "Event": events.Event{}, "Error": problem{},
		"Course": alertCourse{},
	}
	assert.ElementsMatch(t, slices.Collect(maps.Keys(types)), slices.Collect(maps.Keys(d.Components.Schemas)))
	for name, value := range types {
		assert.ElementsMatch(t, fields(reflect.TypeOf(value)), d.properties(d.Components.Schemas[name]), name)
	}
	acknowledgement := d.Components.Schemas["Alert"].Properties["acknowledgement"]
	assert.ElementsMatch(t, fields(reflect.TypeFor[incidents.Acknowledgement]()), d.properties(acknowledgement))
}

func TestWhatTheDescriptionRefersToExists(t *testing.T) {
	var whole map[string]any
	require.NoError(t, yaml.Unmarshal(openAPI, &whole))
	text, err := json.Marshal(whole)
	require.NoError(t, err)
	found := regexp.MustCompile(`"\$ref":"#/([^"]+)"`).FindAllStringSubmatch(string(text), -1)
	require.NotEmpty(t, found)
	for _, reference := range found {
		at := whole
		for _, part := range strings.Split(reference[1], "/") {
			next, ok := at[part].(map[string]any)
			require.True(t, ok, reference[1])
			at = next
		}
	}
}

func TestThePageShowsEveryStatistic(t *testing.T) {
	script, err := pageFiles.ReadFile("page/views.js")
	require.NoError(t, err)
	for _, name := range fields(reflect.TypeFor[incidents.Statistics]()) {
		assert.Contains(t, string(script), "s."+name)
	}
}
