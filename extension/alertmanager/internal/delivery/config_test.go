package delivery

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestConfigurationsAreCheckedAsAlertmanagerDoes(t *testing.T) {
	file := filepath.Join(t.TempDir(), "alertmanager.yml")
	require.NoError(t, os.WriteFile(file, []byte("route: {receiver: a}\nreceivers: [{name: a}]\n"), 0o600))
	_, err := Parse(nil, file)
	require.NoError(t, err)
	_, err = Parse(nil, "")
	require.NoError(t, err, "nobody is told")
	for want, test := range map[string]struct {
		raw  string
		file string
	}{
		"exclude each other":              {"{route: {receiver: a}}", file},
		"no such file":                    {"", "/no/such/file"},
		`undefined receiver "b" used`:     {"{route: {receiver: b}, receivers: [{name: a}]}", ""},
		"field colour not found":          {"{route: {receiver: a}, receivers: [{name: a}], colour: 1}", ""},
		"`alertmanager`::templates":       {"{route: {receiver: a}, receivers: [{name: a}], templates: ['" + file + "x', '[']}", ""},
		"missing to address in email":     {"{route: {receiver: a}, receivers: [{name: a, email_configs: [{}]}]}", ""},
		"bad matcher format":              {"{route: {receiver: a, routes: [{matchers: ['x']}]}, receivers: [{name: a}]}", ""},
		"cannot have continue in root ro": {"{route: {receiver: a, continue: true}, receivers: [{name: a}]}", ""},
	} {
		var raw map[string]any
		if test.raw != "" {
			raw = decodeYAML(t, test.raw)
		}
		_, err := Parse(raw, test.file)
		assert.ErrorContains(t, err, want)
	}
	_, err = New(Config{Alertmanager: map[string]any{"route": 1}})
	require.Error(t, err)
	_, err = New(Config{Directory: "/dev/null/x"})
	require.Error(t, err)
}
