package delivery

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/notify"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// textLog is a log that may be read while it is written.
type textLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (l *textLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *textLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// TestSecretsAreInNoErrorLogOrAnswer has every receiver fail, with a server that sends back what it was sent, and with one that is not there.
func TestSecretsAreInNoErrorLogOrAnswer(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(file, []byte("very-secret-file\n"), 0o600))
	echo := startTarget(t, nil)
	echo.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, r.URL.String()+" "+r.Header.Get("Authorization")+" ")
		_, _ = io.Copy(w, r.Body)
	})
	gone := httptest.NewServer(nil)
	gone.Close()
	for _, server := range []string{echo.URL, gone.URL} {
		logged, told := &textLog{}, make(chan Notification, 100)
		d := start(t, Config{
			Logger:   slog.New(slog.NewTextHandler(logged, &slog.HandlerOptions{Level: slog.LevelDebug})),
			Notified: func(n Notification) { told <- n },
		}, `
route: {receiver: all, `+quick+`}
receivers:
  - name: all
    webhook_configs:
      - {url: "`+server+`/very-secret-path?token=very-secret-query"}
      - {url: "`+server+`", http_config: {basic_auth: {username: u, password: very-secret-password}}}
      - {url: "`+server+`", http_config: {authorization: {credentials: very-secret-credentials}}}
      - {url: "`+server+`", http_config: {authorization: {credentials_file: `+file+`}}}
    slack_configs: [{api_url: "`+server+`/services/very-secret-slack", channel: "#ops"}]
    pagerduty_configs: [{url: "`+server+`", routing_key: very-secret-key}, {url: "`+server+`", routing_key_file: `+file+`}]
    telegram_configs: [{api_url: "`+server+`", bot_token: "1234:very-secret-bot", chat_id: 1}]
`)
		api := httptest.NewServer(d.APIHandler())
		require.NoError(t, d.Send(t.Context(), firing("A")))
		failed := map[string]int{}
		for failed["webhook"] < 4 || failed["slack"] < 1 || failed["pagerduty"] < 2 || failed["telegram"] < 1 {
			select {
			case n := <-told:
				require.Error(t, n.Err)
				failed[n.Integration]++
				assert.NotContains(t, n.Err.Error(), "very-secret")
			case <-time.After(wait):
				require.FailNow(t, "not all were tried", "%v", failed)
			}
		}
		response, err := http.Get(api.URL + "/api/v2/status")
		require.NoError(t, err)
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		response.Body.Close()
		api.Close()
		assert.Contains(t, string(body), "pagerduty_configs")
		assert.NotContains(t, string(body), "very-secret")
		require.NoError(t, d.Close())
		assert.Contains(t, logged.String(), "notify retry canceled")
		assert.NotContains(t, logged.String(), "very-secret")
	}
}

func TestAnErrorWithoutItsSecretIsStillTheSame(t *testing.T) {
	s := &secrets{}
	s.add("abc")
	s.add("sec ret")
	limited := notify.NewErrorWithReason(notify.RateLimitedReason, os.ErrDeadlineExceeded)
	assert.Equal(t, error(limited), s.redact(limited), "nothing to hide")
	require.NoError(t, s.redact(nil))
	s.add("timeout")
	hidden := s.redact(limited)
	require.EqualError(t, hidden, "i/o <secret>")
	var as *notify.ErrorWithReason
	require.ErrorAs(t, hidden, &as)
	s.add("x")
	assert.NotContains(t, s.values, "x", "too short to be told from other text")
	assert.Contains(t, s.values, "sec+ret", "as it is in a query")
}
