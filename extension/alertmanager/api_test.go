package alertmanager

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// parameter is one of an operation's query parameters.
type parameter struct {
	Name, In string
	Required bool
	Schema   struct{ Type string }
}

// operation is what is said of a path and a method.
type operation struct {
	Parameters []parameter
	Responses  map[string]struct{ Content map[string]any }
}

func TestEveryOperationThatIsDescribedAnswersAsDescribed(t *testing.T) {
	e := startExtension(t, t.TempDir(), queueRule(nil))
	e.feed(t, "otelcol.self.queue.utilization", 0.9)
	known := e.await(t, 1)[0].ID
	response, err := http.Get(e.url("/api/v1/openapi.yaml"))
	require.NoError(t, err)
	defer response.Body.Close()
	var described struct {
		Paths map[string]map[string]operation
	}
	require.NoError(t, yaml.NewDecoder(response.Body).Decode(&described))
	require.NotEmpty(t, described.Paths)
	for path, methods := range described.Paths {
		for method, o := range methods {
			if method == "post" {
				status, _ := post(t, e.url(strings.ReplaceAll(path, "{id}", "unknown")), `{"who": "ann"}`)
				assert.Equal(t, http.StatusNotFound, status, path)
				assert.Contains(t, o.Responses, "404", path)
				continue
			}
			query := "?"
			for _, p := range o.Parameters {
				if p.Required {
					query += p.Name + "=1&" // an expression as well as a number of seconds
				}
			}
			ctx, cancel := context.WithCancel(t.Context())
			request, err := http.NewRequestWithContext(ctx, strings.ToUpper(method), e.url(strings.ReplaceAll(path, "{id}", known)+query), http.NoBody)
			require.NoError(t, err)
			response, err := http.DefaultClient.Do(request)
			require.NoError(t, err)
			assert.Equal(t, http.StatusOK, response.StatusCode, path)
			assert.Contains(t, o.Responses["200"].Content, response.Header.Get("Content-Type"), path)
			cancel()
			response.Body.Close()
		}
	}
}
