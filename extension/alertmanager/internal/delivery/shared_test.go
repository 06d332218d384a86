package delivery

import (
	"context"
	"encoding/json"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/eventrecorder"
	"github.com/prometheus/alertmanager/featurecontrol"
	"github.com/prometheus/alertmanager/provider/mem"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// newShared returns a member's store, and what it has broadcast.
func newShared(t testing.TB) (*sharedAlerts, *[][]byte) {
	t.Helper()
	stored, err := mem.NewAlerts(context.Background(), time.Hour, 0, nil, slog.New(slog.DiscardHandler), eventrecorder.NopRecorder(),
		prometheus.NewRegistry(), featurecontrol.NoopFlags{})
	require.NoError(t, err)
	t.Cleanup(stored.Close)
	sent := new([][]byte)
	return &sharedAlerts{Alerts: stored, broadcast: func(b []byte) { *sent = append(*sent, b) }}, sent
}

func at(a *alert.Alert, updated time.Time) *alert.Alert {
	a.UpdatedAt = updated
	return a
}

func TestMembersOfAClusterKnowEachOthersAlerts(t *testing.T) {
	one, sent := newShared(t)
	other, passedOn := newShared(t)
	now := time.Now()
	queue := at(firing("QueueFull", "exporter", "a"), now)
	require.NoError(t, one.Put(t.Context(), queue, at(firing("HighCPU"), now)))
	require.Len(t, *sent, 1, "what is stored at once goes out at once")
	require.NoError(t, other.Merge((*sent)[0]))
	require.Len(t, other.pending(), 2)
	known, err := other.Get(queue.Fingerprint())
	require.NoError(t, err)
	assert.Equal(t, queue.Annotations, known.Annotations)
	assert.True(t, queue.EndsAt.Equal(known.EndsAt))

	// Its end is news, what was before is not.
	over := at(resolved(queue), now.Add(time.Second))
	require.NoError(t, one.Put(t.Context(), over))
	require.NoError(t, other.Merge((*sent)[1]))
	require.NoError(t, other.Merge((*sent)[0]))
	known, err = other.Get(queue.Fingerprint())
	require.NoError(t, err)
	assert.True(t, known.Resolved(), "an old message must not make it fire again")
	assert.NotEmpty(t, *passedOn)
	before := len(*passedOn)
	require.NoError(t, other.Merge((*sent)[1]))
	assert.Len(t, *passedOn, before, "what is known is passed on no more, or it would go round for ever")

	// Who joins later gets everything.
	joined, _ := newShared(t)
	all, err := one.MarshalBinary()
	require.NoError(t, err)
	require.NoError(t, joined.Merge(all))
	assert.Len(t, joined.pending(), 2)
}

func TestWhatAMemberCannotUseIsAnErrorAndTheRestIsTaken(t *testing.T) {
	s, _ := newShared(t)
	require.ErrorContains(t, s.Merge([]byte("gossip")), "alerts of another member")
	invalid := firing("NoEnd")
	invalid.StartsAt = time.Time{}
	content, err := json.Marshal([]*alert.Alert{invalid, nil, firing("HighCPU")})
	require.NoError(t, err)
	require.ErrorContains(t, s.Merge(content), "NoEnd")
	assert.Len(t, s.pending(), 1)
}

func FuzzMerge(f *testing.F) {
	content, err := json.Marshal([]*alert.Alert{firing("HighCPU")})
	require.NoError(f, err)
	f.Add(content)
	f.Add([]byte(`[null, {"labels": {"": "x"}}]`))
	s, _ := newShared(f)
	f.Fuzz(func(t *testing.T, content []byte) {
		before := len(s.pending())
		if err := s.Merge(content); err != nil {
			return
		}
		for _, a := range s.pending() {
			require.NoError(t, a.Validate())
		}
		require.GreaterOrEqual(t, len(s.pending()), before)
	})
}
