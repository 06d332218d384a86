package external

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/notifier"
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
		s.Stop(t.Context())
	}
}

func TestAnAlertmanagerThatHangsDoesNotHoldUpTheStop(t *testing.T) {
	asked, held := make(chan struct{}, 10), make(chan struct{})
	hanging := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body)
		asked <- struct{}{}
		<-held
	}))
	defer hanging.Close()
	defer close(held)
	s, err := Start(Config{Alertmanagers: []string{hanging.URL}}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	require.NoError(t, err)
	require.Eventually(t, func() bool { // it takes no alerts before it knows whom to send them to
		s.Send(&notifier.Alert{Labels: labels.FromStrings("alertname", "A")})
		return len(asked) > 0
	}, 20*time.Second, time.Millisecond)
	patience, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	start := time.Now()
	s.Stop(patience)
	assert.Less(t, time.Since(start), 5*time.Second, "a request may take ten")
}
