package incidents

import (
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// connected are two members of a cluster, of which the second evaluates the rules.
func connected(t *testing.T) (asked, evaluates *world) {
	t.Helper()
	asked, evaluates = begin(t, t.TempDir()), begin(t, t.TempDir())
	t.Cleanup(func() { asked.stop(); evaluates.stop() })
	asked.SetBroadcast(func(b []byte) { assert.NoError(t, evaluates.Merge(b)) })
	evaluates.SetBroadcast(func(b []byte) { assert.NoError(t, asked.Merge(b)) })
	return asked, evaluates
}

func TestAnAlertOfAnotherMemberThatIsResolvedByHandStaysQuietThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked, evaluates := connected(t)
		asked.fire(t, nil)
		evaluates.fire(t, nil)
		require.NoError(t, asked.Resolve(t.Context(), asked.only(t).ID, "ann", ""))
		before, err := asked.MarshalBinary()
		require.NoError(t, err)
		pass(4 * time.Minute) // nobody reports it any more
		for range 10 {
			evaluates.fire(t, nil)
			assert.Empty(t, evaluates.Active(), "its rule still says so")
			pass(time.Minute)
		}
		all, err := evaluates.MarshalBinary()
		require.NoError(t, err)
		joined := begin(t, t.TempDir())
		defer joined.stop()
		require.NoError(t, joined.Merge(all))
		joined.fire(t, nil)
		assert.Empty(t, joined.Active(), "who joins learns of it")
		assert.Equal(t, 1, joined.Stats().Suppressed)

		evaluates.clear(t, nil)
		require.NoError(t, evaluates.Merge(before))
		evaluates.fire(t, nil)
		assert.Len(t, evaluates.Active(), 1, "it cleared, and came back; what another has not learnt yet does not count")
		cleared, err := evaluates.MarshalBinary()
		require.NoError(t, err)
		require.NoError(t, joined.Merge(cleared))
		joined.fire(t, nil)
		assert.Len(t, joined.Active(), 1)
		assert.Zero(t, joined.Stats().Suppressed)
	})
}

func TestOnlyNewsOfWhatIsResolvedByHandIsPassedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, t.TempDir())
		defer w.stop()
		var sent int
		w.SetBroadcast(func([]byte) { sent++ })
		now := time.Now()
		merge := func(s suppression) {
			content, err := json.Marshal(map[model.Fingerprint]suppression{1: s})
			require.NoError(t, err)
			require.NoError(t, w.Merge(content))
		}
		merge(suppression{At: now, Seen: now})
		merge(suppression{At: now, Seen: now.Add(time.Second)})
		assert.Equal(t, 1, sent)
		merge(suppression{At: now, Seen: now, Cleared: now})
		merge(suppression{At: now, Seen: now})
		merge(suppression{At: now.Add(-time.Second), Seen: now})
		assert.Equal(t, 2, sent)
		assert.Zero(t, w.Stats().Suppressed)
		merge(suppression{At: now.Add(time.Second), Seen: now})
		assert.Equal(t, 3, sent)
		assert.Equal(t, 1, w.Stats().Suppressed)
		pass(6 * time.Minute)
		merge(suppression{At: now.Add(time.Minute), Seen: now})
		assert.Equal(t, 3, sent, "it would be forgotten at once")
		require.ErrorContains(t, w.Merge([]byte("gossip")), "another member")
	})
}
