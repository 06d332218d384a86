package delivery

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The group's interval is five minutes: without a bound of its own, the attempt that hangs would be the only one in that time.
func TestAnAttemptThatHangsIsBrokenOffAndMadeAgainWhileOthersAreTold(t *testing.T) {
	release := make(chan struct{})
	var attempts atomic.Int32
	hanging := startTarget(t, func(http.ResponseWriter, *http.Request) {
		if attempts.Add(1) == 1 {
			<-release
		}
	})
	t.Cleanup(func() { close(release) })
	good := startTarget(t, nil)
	told := make(chan Notification, 100)
	d := start(t, Config{NotificationTimeout: 100 * time.Millisecond, Notified: func(n Notification) { told <- n }}, `
route: {receiver: all, group_by: [alertname], group_wait: 10ms, group_interval: 5m}
receivers:
  - {name: all, webhook_configs: [{url: "`+hanging.URL+`"}, {url: "`+good.URL+`"}]}
`)
	require.NoError(t, d.Send(t.Context(), firing("A")))
	hanging.next(t)
	good.next(t)
	hanging.next(t)
	var failed, delivered int
	for range 3 {
		select {
		case n := <-told:
			if n.Err == nil {
				delivered++
				continue
			}
			failed++
			require.ErrorContains(t, n.Err, "`notification_timeout` (100ms)")
			assert.GreaterOrEqual(t, n.Took, 100*time.Millisecond)
		case <-time.After(wait):
			require.FailNow(t, "an attempt has no end")
		}
	}
	assert.Equal(t, []int{1, 2}, []int{failed, delivered})
	require.NoError(t, d.Send(t.Context(), firing("B")))
	assert.Contains(t, good.next(t), `"alertname":"B"`, "nor is the next alert held up")
}

type notifierFunc func(context.Context) (bool, error)

func (f notifierFunc) Notify(ctx context.Context, _ ...*alert.Alert) (bool, error) { return f(ctx) }

func TestOnlyAnAttemptThatRanOutOfItsOwnTimeIsMadeAgainForThat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs := notifierFunc(func(ctx context.Context) (bool, error) {
			<-ctx.Done()
			return false, ctx.Err()
		})
		o := &observedNotifier{Notifier: hangs, timeout: time.Second, secrets: &secrets{}, attempts: &sync.RWMutex{}}
		retry, err := o.Notify(t.Context())
		assert.True(t, retry)
		require.ErrorIs(t, err, context.DeadlineExceeded)

		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		retry, err = o.Notify(ctx)
		assert.False(t, retry, "all attempts are over")
		require.ErrorIs(t, err, context.DeadlineExceeded)

		o.Notifier = notifierFunc(func(context.Context) (bool, error) { return false, errors.New("refused") })
		retry, err = o.Notify(t.Context())
		assert.False(t, retry, "for what cannot be mended")
		require.EqualError(t, err, "refused")
	})
}

func TestAStopWaitsForTheNotificationUnderWay(t *testing.T) {
	hold := make(chan struct{})
	release := sync.OnceFunc(func() { close(hold) })
	slow := startTarget(t, func(http.ResponseWriter, *http.Request) { <-hold })
	t.Cleanup(release)
	told := make(chan Notification, 10)
	d := start(t, Config{Notified: func(n Notification) { told <- n }},
		`{route: {receiver: all, `+quick+`}, receivers: [{name: all, webhook_configs: [{url: "`+slow.URL+`"}]}]}`)
	require.NoError(t, d.Send(t.Context(), firing("A")))
	slow.next(t)
	ended := make(chan error)
	go func() { ended <- d.Close() }()
	require.Eventually(t, func() bool {
		going := d.pipeline.attempts.TryRLock()
		if going {
			d.pipeline.attempts.RUnlock()
		}
		return !going
	}, wait, time.Millisecond, "no other begins")
	release()
	require.NoError(t, <-ended)
	assert.NoError(t, (<-told).Err, "it would be sent again after the next start")
}

func TestAStopDoesNotWaitForTheNextAttempt(t *testing.T) {
	failing := startTarget(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	told := make(chan Notification, 10)
	d := start(t, Config{Notified: func(n Notification) { told <- n }},
		`{route: {receiver: all, `+quick+`}, receivers: [{name: all, webhook_configs: [{url: "`+failing.URL+`"}]}]}`)
	require.NoError(t, d.Send(t.Context(), firing("A")))
	require.Error(t, (<-told).Err)
	began := time.Now()
	require.NoError(t, d.Close())
	assert.Less(t, time.Since(began), stopPatience)
}
