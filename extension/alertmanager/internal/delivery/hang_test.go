package delivery

import (
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// startSilent accepts connections and says nothing.
func startSilent(t *testing.T) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				_, _ = io.Copy(io.Discard, conn) // until the other side gives up
				_ = conn.Close()
			})
		}
	})
	t.Cleanup(func() {
		assert.NoError(t, listener.Close())
		running.Wait()
	})
	return listener.Addr().String()
}

// Neither of these notifiers minds its context once it is connected.
func TestServersThatAcceptAndSayNothingHoldUpNeitherTheGroupNorTheEnd(t *testing.T) {
	silent := startSilent(t)
	for name, receiver := range map[string]string{
		"mail":              `email_configs: [{to: b@example.com, smarthost: "` + silent + `"}]`,
		"mail, TLS at once": `email_configs: [{to: b@example.com, smarthost: "` + silent + `", force_implicit_tls: true}]`,
		"telegram":          `telegram_configs: [{api_url: "http://` + silent + `", bot_token: "1234:very-secret", chat_id: 1}]`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // a group's notification lasts ten seconds at least while one of its targets fails
			good := startTarget(t, nil)
			told := make(chan Notification, 100)
			d := start(t, Config{NotificationTimeout: 100 * time.Millisecond, Notified: func(n Notification) { told <- n }}, `
global: {smtp_from: a@example.com}
route: {receiver: all, group_by: [alertname], group_wait: 10ms, group_interval: 500ms}
receivers: [{name: all, `+receiver+`, webhook_configs: [{url: "`+good.URL+`"}]}]
`)
			require.NoError(t, d.Send(t.Context(), firing("A", "host", "1")))
			good.next(t)
			require.NoError(t, d.Send(t.Context(), firing("A", "host", "2")))
			assert.Contains(t, good.next(t), `"host":"2"`, "the same group's next notification")
			for failed := 0; failed < 2; {
				select {
				case n := <-told:
					if n.Err != nil {
						failed++
						require.ErrorContains(t, n.Err, "`notification_timeout` (100ms)")
						assert.NotContains(t, n.Err.Error(), "very-secret")
					}
				case <-time.After(wait):
					require.FailNow(t, "an attempt has no end")
				}
			}
			require.NoError(t, d.Close())
		})
	}
}

func TestWhatFailsForAWhileIsTriedAgainAndToldOnce(t *testing.T) {
	var mu sync.Mutex
	answers := []int{http.StatusServiceUnavailable, http.StatusTooManyRequests, http.StatusOK}
	busy := startTarget(t, func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		w.WriteHeader(answers[0])
		_, _ = w.Write([]byte("ok"))
		answers = answers[1:]
	})
	told := make(chan Notification, 100)
	d := start(t, Config{Notified: func(n Notification) { told <- n }}, `
route: {receiver: all, group_wait: 10ms, group_interval: 5m}
receivers: [{name: all, slack_configs: [{api_url: "`+busy.URL+`", channel: "#ops"}]}]
`)
	require.NoError(t, d.Send(t.Context(), firing("A")))
	for _, want := range []string{"503", "429", ""} {
		select {
		case n := <-told:
			if want == "" {
				require.NoError(t, n.Err)
			} else {
				require.ErrorContains(t, n.Err, want)
			}
		case <-time.After(wait):
			require.FailNow(t, "not tried again", want)
		}
	}
}

func TestAMailServerThatIsNotThereIsNamed(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := listener.Addr().String()
	require.NoError(t, listener.Close())
	told := make(chan Notification, 100)
	d := start(t, Config{Notified: func(n Notification) { told <- n }}, `
route: {receiver: all, `+quick+`}
receivers: [{name: all, email_configs: [{to: b@example.com, from: a@example.com, smarthost: "`+address+`"}]}]
`)
	require.NoError(t, d.Send(t.Context(), firing("A")))
	err = (<-told).Err
	require.ErrorContains(t, err, "connect to the mail server "+address)
	assert.True(t, strings.Contains(err.Error(), "refused"), err)
}
