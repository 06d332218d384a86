package incidents

import (
	"errors"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-adaptive/otelcol-adaptive/extension/alertmanager/internal/events"
)

func TestAnAcknowledgedAlertEscalatesWhenNobodyTakesCareAnyMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, t.TempDir())
		defer w.stop()
		w.fire(t, model.LabelSet{"escalation_from": "warning"})
		id := w.only(t).ID
		require.NoError(t, w.Acknowledge(t.Context(), id, "ann", "", time.Time{}))
		for n, severity := range []model.LabelValue{"error", "critical"} {
			w.fire(t, model.LabelSet{"severity": severity, "escalation": model.LabelValue(strconv.Itoa(n + 1)), "escalation_from": "warning"})
		}
		assert.Equal(t, "warning", w.only(t).Severity)
		assert.True(t, w.only(t).EscalatedAt.IsZero())
		pass(time.Minute)
		require.NoError(t, w.Unacknowledge(t.Context(), id, "ann", ""))
		assert.Equal(t, "critical", w.only(t).Severity)
		assert.Equal(t, time.Now(), w.only(t).EscalatedAt)
		require.NoError(t, w.Acknowledge(t.Context(), id, "bob", "", time.Now().Add(time.Minute)))
		pass(time.Minute + sweepInterval)
		assert.Equal(t, []events.Kind{
			events.Firing, events.Acknowledged, events.Unacknowledged, events.Escalated, events.Acknowledged, events.Unacknowledged,
		}, w.told(), "it has escalated once")
	})
}

func TestAnAcknowledgementLastsUntilRecovery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, t.TempDir())
		defer w.stop()
		w.fire(t, model.LabelSet{"host": "a"})
		id := w.only(t).ID
		pass(time.Minute)
		require.NoError(t, w.Acknowledge(t.Context(), id, "ann", "looking", time.Time{}))
		assert.Equal(t, model.LabelSet{"alertname": "Slow", "severity": "warning", "host": "a"}, w.store.labels)
		for range 60 { // the lease is renewed
			w.fire(t, model.LabelSet{"host": "a"})
			pass(time.Minute)
			for _, until := range w.store.silences {
				require.True(t, until.After(time.Now()), "silent all the time")
			}
		}
		require.Len(t, w.store.silences, 1)
		assert.Equal(t, "ann", w.only(t).Acknowledgement.Who)
		w.clear(t, model.LabelSet{"host": "a"})
		pass(sweepInterval)
		assert.Empty(t, w.store.silences, "the next time somebody is told")
		assert.Equal(t, []events.Kind{events.Firing, events.Acknowledged, events.Resolved}, w.told())
		s := w.Statistics(Query{})
		require.Len(t, s, 1)
		assert.InDelta(t, 60, float64(s[0].MeanToAcknowledge), 1)
		assert.InDelta(t, 61*60, float64(s[0].MeanToResolve), 10)
	})
}

func TestAnAcknowledgementThatIsTakenBackIsNotRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, t.TempDir())
		defer w.stop()
		w.fire(t, nil)
		id := w.only(t).ID
		require.NoError(t, w.Acknowledge(t.Context(), id, "ann", "", time.Time{}))
		require.NoError(t, w.Unacknowledge(t.Context(), id, "ann", "the wrong one"))
		assert.Empty(t, w.store.silences)
		assert.Equal(t, []events.Kind{events.Firing, events.Acknowledged, events.Unacknowledged}, w.told())
		for range 40 {
			w.fire(t, nil)
			pass(time.Minute)
		}
		assert.Nil(t, w.only(t).Acknowledgement)
		assert.Empty(t, w.store.silences)
		require.NoError(t, w.Acknowledge(t.Context(), id, "bob", "", time.Time{}))
		clear(w.store.silences) // somebody has ended it with amtool
		require.NoError(t, w.Unacknowledge(t.Context(), id, "bob", ""))
		assert.Contains(t, w.log.String(), "has ended before")
		for want, err := range map[string]error{
			"`who` must not be empty":     w.Unacknowledge(t.Context(), id, "", ""),
			"is not acknowledged":         w.Unacknowledge(t.Context(), id, "ann", ""),
			"no active alert has this ID": w.Unacknowledge(t.Context(), "x", "ann", ""),
		} {
			assert.ErrorContains(t, err, want)
		}
	})
}

func TestAnAcknowledgementIsOverWhenItsSilenceIsEndedElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, t.TempDir())
		defer w.stop()
		for _, until := range []time.Time{{}, time.Now().Add(time.Hour)} {
			w.fire(t, nil)
			require.NoError(t, w.Acknowledge(t.Context(), w.only(t).ID, "ann", "", until))
			pass(sweepInterval)
			require.NotNil(t, w.only(t).Acknowledgement)
			w.acting.Lock()
			clear(w.store.silences)
			w.acting.Unlock()
			pass(sweepInterval)
			assert.Nil(t, w.only(t).Acknowledgement, "people are notified")
		}
		for range 40 {
			w.fire(t, nil)
			pass(time.Minute)
		}
		assert.Empty(t, w.store.silences, "nobody has acknowledged it again")
		assert.Equal(t, []events.Kind{events.Firing, events.Acknowledged, events.Unacknowledged, events.Acknowledged, events.Unacknowledged}, w.told())
	})
}

func TestAnAcknowledgementMayEndByTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, t.TempDir())
		defer w.stop()
		w.fire(t, nil)
		pass(time.Minute)
		id := w.only(t).ID
		require.NoError(t, w.Acknowledge(t.Context(), id, "ann", "", time.Now().Add(time.Minute)))
		pass(time.Second)
		require.NoError(t, w.Acknowledge(t.Context(), id, "bob", "", time.Now().Add(2*time.Minute)))
		assert.Len(t, w.store.silences, 1, "the second takes the place of the first")
		pass(2*time.Minute + sweepInterval)
		assert.Nil(t, w.only(t).Acknowledgement)
		assert.Equal(t, []events.Kind{events.Firing, events.Acknowledged, events.Acknowledged, events.Unacknowledged}, w.told())
		assert.Equal(t, Seconds(60), w.Statistics(Query{})[0].MeanToAcknowledge, "the first counts, also when it is over")
		for want, err := range map[string]error{
			"`who` must not be empty":       w.Acknowledge(t.Context(), id, "", "", time.Time{}),
			"`until` must be in the future": w.Acknowledge(t.Context(), id, "ann", "", time.Now()),
			"no active alert has this ID":   w.Acknowledge(t.Context(), "x", "ann", "", time.Time{}),
		} {
			assert.ErrorContains(t, err, want)
		}
		w.store.fail = errors.New("too many silences")
		assert.ErrorContains(t, w.Acknowledge(t.Context(), id, "ann", "", time.Time{}), "too many silences")
	})
}
