package alertmanager

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/extension/extensiontest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/otelcol-adaptive/otelcol-adaptive/extension/alertmanager/internal/incidents"
	"github.com/otelcol-adaptive/otelcol-adaptive/extension/alertmanager/internal/metadata"
)

func TestAMetricOverItsThresholdFiresIsAcknowledgedAndRecovers(t *testing.T) {
	e := startExtension(t, t.TempDir(), queueRule(nil))
	happened := e.Subscribe(t.Context())
	e.feed(t, "otelcol.self.queue.utilization", 0.9)
	alert := e.await(t, 1)[0]
	assert.Equal(t, "QueueNearlyFull", alert.Name)
	assert.Equal(t, "queue at 0.9", alert.Annotations["summary"])
	assert.Equal(t, "x", alert.Labels["exporter"])

	status, body := post(t, e.url("/api/v1/alerts/"+alert.ID+"/acknowledge"), `{"who": "ann", "why": "looking"}`)
	require.Equal(t, http.StatusOK, status, body)
	listed := get[[]struct {
		SilencedBy      []string `json:"silenced_by"`
		Acknowledgement *incidents.Acknowledgement
	}](t, e, "/api/v1/alerts")
	assert.Equal(t, "ann", listed[0].Acknowledgement.Who)
	assert.Len(t, listed[0].SilencedBy, 1)

	e.feed(t, "otelcol.self.queue.utilization", 0.1)
	e.await(t, 0)
	past := get[[]incidents.Incident](t, e, "/api/v1/history?name=QueueNearlyFull&limit=5")
	require.Len(t, past, 1)
	assert.Equal(t, "ann", past[0].Acknowledgement.Who)
	figures := get[[]incidents.Statistics](t, e, "/api/v1/statistics")
	require.Len(t, figures, 1)
	assert.Equal(t, 1, figures[0].Count)
	var kinds []string
	for len(kinds) < 3 {
		kinds = append(kinds, string((<-happened).Kind))
	}
	assert.Equal(t, []string{"firing", "acknowledged", "resolved"}, kinds)
}

func TestResolvedByHandOverTheAPI(t *testing.T) {
	e := startExtension(t, t.TempDir(), queueRule(nil))
	e.feed(t, "otelcol.self.queue.utilization", 0.9)
	id := e.await(t, 1)[0].ID
	for body, want := range map[string]string{
		"{}": "`who` must not be empty", "[]": "must be a JSON object", `{"who": "a"} x`: "one JSON object", `{"when": 1}`: "unknown field",
		`{"who": "a", "until": "2100-01-01T00:00:00Z"}`: "`until` is not for resolving",
	} {
		status, answer := post(t, e.url("/api/v1/alerts/"+id+"/resolve"), body)
		assert.Equal(t, http.StatusBadRequest, status)
		assert.Contains(t, answer, want)
	}
	status, _ := post(t, e.url("/api/v1/alerts/none/resolve"), `{"who": "ann"}`)
	assert.Equal(t, http.StatusNotFound, status)
	status, answer := post(t, e.url("/api/v1/alerts/"+id+"/resolve"), `{"who": "ann"}`)
	require.Equal(t, http.StatusOK, status, answer)
	e.await(t, 0)
}

func TestOtherSitesCannotActAndThePageNeedsNothingFromElsewhere(t *testing.T) {
	e := startExtension(t, t.TempDir(), nil)
	for _, path := range []string{"/api/v1/alerts/x/acknowledge", "/api/v2/silences"} {
		status, answer := post(t, e.url(path), "{}", "Origin", "http://evil.example", "Sec-Fetch-Site", "cross-site")
		assert.Equal(t, http.StatusForbidden, status, path)
		assert.JSONEq(t, `{"error": "a page of another site has sent this request"}`, answer)
	}
	for _, path := range []string{"/", "/app.js", "/views.js", "/draw.js", "/style.css", "/icon.svg", "/api/v1/openapi.yaml"} {
		response, err := http.Get(e.url(path))
		require.NoError(t, err)
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		response.Body.Close()
		assert.Equal(t, http.StatusOK, response.StatusCode, path)
		assert.Contains(t, response.Header.Get("Content-Security-Policy"), "default-src 'self'")
		assert.NotContains(t, strings.ReplaceAll(string(body), "http://www.w3.org/2000/svg", ""), "://", "%s refers to another place", path)
	}
}

func TestRulesAndCoursesCanBeAsked(t *testing.T) {
	e := startExtension(t, t.TempDir(), queueRule(map[string]any{"for": "1h"}))
	e.feed(t, "otelcol.self.queue.utilization", 0.9)
	type rule struct {
		Name, State, Health string
		PlotQuery           string `json:"plot_query"`
		Threshold           float64
	}
	var own rule
	require.Eventually(t, func() bool {
		for _, r := range get[[]rule](t, e, "/api/v1/rules") {
			if r.Name == "QueueNearlyFull" && r.State == "pending" {
				own = r
			}
		}
		return own.Name != ""
	}, wait, 20*time.Millisecond)
	assert.Equal(t, "ok", own.Health)
	assert.InDelta(t, 0.8, own.Threshold, 1e-9)
	now := float64(time.Now().Unix())
	query := url.Values{"query": {own.PlotQuery}, "start": {jsonNumber(now - 60)}, "end": {jsonNumber(now + 2)}, "step": {"1"}}
	found := get[[]struct {
		Labels map[string]string
		Points [][2]float64
	}](t, e, "/api/v1/query_range?"+query.Encode())
	require.Len(t, found, 1)
	assert.InDelta(t, 0.9, found[0].Points[len(found[0].Points)-1][1], 1e-9)
	for bad, want := range map[string]string{
		"":                                     "`query` must not be empty",
		"query=x&start=a&end=2&step=1":         "`start` must be a number of seconds, found \\\"a\\\"",
		"query=x&start=0&end=9999999&step=1":   "at most 2000 steps",
		"query=sum(&start=0&end=1&step=1":      "unclosed left parenthesis",
		"query=x&start=0&end=1&step=0":         "at least one second",
		"query=x&start=NaN&end=Inf&step=1e300": "`step` must be a number",
	} {
		response, err := http.Get(e.url("/api/v1/query_range?" + bad))
		require.NoError(t, err)
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		response.Body.Close()
		assert.Equal(t, http.StatusBadRequest, response.StatusCode, bad)
		assert.Contains(t, string(body), want)
	}
	for _, path := range []string{"/api/v1/history?from=x", "/api/v1/history?limit=0", "/api/v1/statistics?from=x"} {
		response, err := http.Get(e.url(path))
		require.NoError(t, err)
		response.Body.Close()
		assert.Equal(t, http.StatusBadRequest, response.StatusCode, path)
	}
}

// More series than a plot shows have the rule fire, each with a value of its own.
func TestTheCourseOfAnAlertIsThatOfItsOwnSeries(t *testing.T) {
	keys := queueRule(nil)
	keys["rules"] = append(keys["rules"].([]any), map[string]any{"name": "Sum", "expr": `sum by (n) ({"many"}) > 0`})
	e := startExtension(t, t.TempDir(), keys)
	const many = 60
	md := pmetric.NewMetrics()
	m := md.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty().Metrics().AppendEmpty()
	m.SetName("many")
	points := m.SetEmptyGauge().DataPoints()
	for n := range many {
		p := points.AppendEmpty()
		p.SetTimestamp(pcommon.NewTimestampFromTime(time.Now()))
		p.SetDoubleValue(float64(n + 1))
		p.Attributes().PutInt("n", int64(n))
	}
	require.NoError(t, e.ConsumeMetrics(t.Context(), md))
	e.feed(t, "otelcol.self.queue.utilization", 0.9)
	now := float64(time.Now().Unix())
	span := "?step=1&start=" + jsonNumber(now-60) + "&end=" + jsonNumber(now+2)
	type answer struct {
		Query     string
		Threshold *float64
		Points    [][2]float64
	}
	for _, a := range e.await(t, many+1) {
		c := get[answer](t, e, "/api/v1/alerts/"+a.ID+"/course"+span)
		require.NotEmpty(t, c.Points, a.Labels)
		last := c.Points[len(c.Points)-1][1]
		if a.Name == "Sum" {
			n, err := strconv.Atoi(a.Labels["n"])
			require.NoError(t, err)
			assert.InDelta(t, n+1, last, 0)
			continue
		}
		assert.Contains(t, c.Query, `exporter="x"`, "asked for alone")
		assert.InDelta(t, 0.9, last, 1e-9)
		assert.InDelta(t, 0.8, *c.Threshold, 1e-9)
		for path, want := range map[string]int{a.ID + "/course?step=0&start=0&end=1": http.StatusBadRequest, "none/course" + span: http.StatusNotFound} {
			response, err := http.Get(e.url("/api/v1/alerts/" + path))
			require.NoError(t, err)
			response.Body.Close()
			assert.Equal(t, want, response.StatusCode, path)
		}
	}
	status, _ := post(t, e.url("/api/v2/alerts"), `[{"labels": {"alertname": "FromOutside"}}]`)
	require.Equal(t, http.StatusOK, status)
	for _, a := range e.await(t, many+2) {
		if a.Name == "FromOutside" {
			assert.Equal(t, answer{Points: [][2]float64{}}, get[answer](t, e, "/api/v1/alerts/"+a.ID+"/course"+span))
		}
	}
}

func TestAnAcknowledgementIsTakenBackOverTheAPI(t *testing.T) {
	e := startExtension(t, t.TempDir(), queueRule(nil))
	e.feed(t, "otelcol.self.queue.utilization", 0.9)
	path := e.url("/api/v1/alerts/" + e.await(t, 1)[0].ID)
	status, answer := post(t, path+"/unacknowledge", `{"who": "ann"}`)
	assert.Equal(t, http.StatusBadRequest, status)
	assert.Contains(t, answer, "is not acknowledged")
	status, _ = post(t, path+"/acknowledge", `{"who": "ann"}`)
	require.Equal(t, http.StatusOK, status)
	for _, wrong := range []string{`{"why": "x"}`, `{"who": "ann", "until": "2100-01-01T00:00:00Z"}`} {
		status, _ = post(t, path+"/unacknowledge", wrong)
		assert.Equal(t, http.StatusBadRequest, status)
	}
	status, answer = post(t, path+"/unacknowledge", `{"who": "bob", "why": "not mine"}`)
	require.Equal(t, http.StatusOK, status, answer)
	type listed struct {
		incidents.Incident
		SilencedBy []string `json:"silenced_by"`
	}
	now := get[[]listed](t, e, "/api/v1/alerts")
	require.Len(t, now, 1)
	assert.Nil(t, now[0].Acknowledgement)
	assert.Empty(t, now[0].SilencedBy)
	assert.False(t, now[0].AcknowledgedAt.IsZero(), "that somebody had acknowledged stays known")
}

func jsonNumber(f float64) string {
	text, _ := json.Marshal(f)
	return string(text)
}

func TestEventsAreStreamedUntilTheEnd(t *testing.T) {
	e := startExtension(t, t.TempDir(), queueRule(nil))
	response, err := http.Get(e.url("/api/v1/events"))
	require.NoError(t, err)
	defer response.Body.Close()
	assert.Equal(t, "text/event-stream", response.Header.Get("Content-Type"))
	lines := bufio.NewScanner(response.Body)
	require.True(t, lines.Scan())
	e.feed(t, "otelcol.self.queue.utilization", 0.9)
	var event string
	for lines.Scan() {
		if text, found := strings.CutPrefix(lines.Text(), "data: "); found {
			event = text
			break
		}
	}
	assert.Contains(t, event, `"kind":"firing"`)
	assert.Contains(t, event, `"name":"QueueNearlyFull"`)
	require.NoError(t, e.Shutdown(t.Context()))
	for lines.Scan() {
	}
	assert.NoError(t, lines.Err(), "the stream ends, and does not break")
}

// The condition held for an hour when the process ended, ten minutes ago.
func TestAlertsGoToAnAlertmanagerElsewhere(t *testing.T) {
	received := make(chan string, 100)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		received <- r.URL.Path + " " + string(body)
	}))
	t.Cleanup(elsewhere.Close)
	keys := queueRule(nil)
	keys["external"] = map[string]any{"alertmanagers": []any{elsewhere.URL + "/prefix"}}
	e := startExtension(t, t.TempDir(), keys)
	e.feed(t, "otelcol.self.queue.utilization", 0.9)
	select {
	case request := <-received:
		assert.True(t, strings.HasPrefix(request, "/prefix/api/v2/alerts "), request)
		assert.Contains(t, request, "QueueNearlyFull")
	case <-time.After(wait):
		require.FailNow(t, "nothing was sent")
	}
}

func TestADirectoryThatCannotBeWrittenToCostsOnlyTheMemory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	e := startExtension(t, filepath.Join(file, "alerts"), queueRule(nil))
	e.feed(t, "otelcol.self.queue.utilization", 0.9)
	e.await(t, 1)
	temporary := e.directory
	require.DirExists(t, temporary)
	require.NoError(t, e.Shutdown(t.Context()))
	require.NoDirExists(t, temporary)
}

func TestAPortThatIsTakenStopsTheStartAndLeavesNothingBehind(t *testing.T) {
	first := startExtension(t, t.TempDir(), nil)
	cfg := createDefaultConfig().(*Config)
	cfg.HTTP.NetAddr.Endpoint, cfg.Storage.Directory = first.address.String(), t.TempDir()
	e, err := NewFactory().Create(t.Context(), extensiontest.NewNopSettings(metadata.Type), cfg)
	require.NoError(t, err)
	require.ErrorContains(t, e.Start(t.Context(), componenttest.NewNopHost()), "`http::endpoint`")
	require.NoError(t, e.Shutdown(t.Context()))
}

func TestBeforeStartAndWithoutStart(t *testing.T) {
	e, err := NewFactory().Create(t.Context(), extensiontest.NewNopSettings(metadata.Type), createDefaultConfig())
	require.NoError(t, err)
	require.ErrorContains(t, e.(*Extension).ConsumeMetrics(t.Context(), pmetric.NewMetrics()), "has not been started")
	require.NoError(t, e.Shutdown(t.Context()))
}

func TestEveryFaultOfAConfigurationIsReported(t *testing.T) {
	cfg := createDefaultConfig().(*Config)
	require.NoError(t, confmap.Validate(cfg))
	cfg.Storage = StorageConfig{}
	cfg.EvaluationInterval, cfg.ExternalURL, cfg.Cluster.Peers, cfg.NotificationTimeout = 0, "nowhere", []string{"a:1"}, 0
	cfg.External.Alertmanagers, cfg.AllowedHosts = []string{"backend:9093", "http://ann@backend:9093", "http://ann:@backend:9093"}, []string{"alerts.example", "http://x/"}
	cfg.Alertmanager = map[string]any{"colour": 1}
	cfg.RuleFiles = []string{"/no/such/file.yml"}
	err := cfg.Validate()
	for _, want := range []string{
		"`storage::directory` must not be empty", "`storage::retention` must be at least 10m, found 0s", "`storage::max_series` must be at least 1, found 0",
		"`storage::max_history`", "`evaluation_interval` must be at least 1s, found 0s", "`external_url` must be an http or https URL, found \"nowhere\"",
		"`notification_timeout` must be more than 0s, found 0s",
		"`cluster::peers` needs `cluster::listen`", "`external::alertmanagers::0` must be an http or https URL, found \"backend:9093\"",
		"`external::alertmanagers::1` must have a password for its user", "colour", "/no/such/file.yml",
		"`allowed_hosts::1` must be a host name or an address, found \"http://x/\"",
	} {
		assert.ErrorContains(t, err, want)
	}
	assert.NotContains(t, err.Error(), "`external::alertmanagers::2`", "an empty password is one")
	cfg = createDefaultConfig().(*Config)
	cfg.ExternalURL = "https://alerts.example/x"
	u, err := cfg.externalURL()
	require.NoError(t, err)
	assert.Equal(t, "alerts.example", u.Host)
}

var _ component.Component = (*Extension)(nil)
