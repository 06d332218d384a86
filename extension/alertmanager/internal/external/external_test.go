package external

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-adaptive/otelcol-adaptive/extension/alertmanager/internal/guard"
)

func TestNamesAreThoseThatEveryAlertmanagerTakes(t *testing.T) {
	assert.Equal(t, labels.FromStrings("alertname", "HighCPU", "service_name", "gateway", "state", "old"),
		legacyNames(labels.FromStrings("alertname", "HighCPU", "service.name", "gateway", "state", "old")))
	assert.Equal(t, labels.FromStrings("service_name", "mine"),
		legacyNames(labels.FromStrings("service.name", "gateway", "service_name", "mine")), "what has the name keeps it")
	assert.Equal(t, 1, legacyNames(labels.FromStrings("a-b", "1", "a.b", "2")).Len())
}

func TestNoAlertGoesWhereNotificationsMustNotGo(t *testing.T) {
	redirects := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://169.254.169.254/latest", http.StatusTemporaryRedirect)
	}))
	defer redirects.Close()
	for _, address := range []string{"http://169.254.169.254/prefix", "http://ann:secret@[fd00:ec2::254]:9093", redirects.URL + "/prefix"} {
		s, err := Start(Config{Alertmanagers: []string{address}}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		require.NoError(t, err)
		require.Len(t, s.clients, 1)
		for target := range s.clients {
			request, err := http.NewRequest(http.MethodPost, target, strings.NewReader("[]"))
			require.NoError(t, err)
			_, err = s.do(t.Context(), http.DefaultClient, request)
			require.ErrorIs(t, err, guard.ErrForbidden, target)
		}
		request, err := http.NewRequest(http.MethodPost, redirects.URL, http.NoBody)
		require.NoError(t, err)
		_, err = s.do(t.Context(), http.DefaultClient, request)
		require.ErrorContains(t, err, "none of the external Alertmanagers")
		s.Stop()
	}
}
