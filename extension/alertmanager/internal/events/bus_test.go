package events

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestASubscriberGetsWhatHappensUntilItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b Bus
		b.Publish(Event{Name: "before"})
		ctx, cancel := context.WithCancel(t.Context())
		s, err := b.Subscribe(ctx)
		require.NoError(t, err)
		b.Publish(Event{Name: "a", Kind: Firing})
		assert.Equal(t, Event{Name: "a", Kind: Firing}, <-s)
		assert.Equal(t, 1, b.Stats().Subscribers)
		cancel()
		synctest.Wait()
		_, open := <-s
		assert.False(t, open)
		assert.Zero(t, b.Stats())
		b.Publish(Event{Name: "after"})
	})
}

func TestASlowSubscriberLosesEventsAndHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b Bus
		slow, _ := b.Subscribe(t.Context())
		quick, _ := b.Subscribe(t.Context())
		for range bufferSize + 10 {
			b.Publish(Event{})
			<-quick
		}
		assert.EqualValues(t, 10, b.Stats().Lost)
		assert.Len(t, slow, bufferSize)
		assert.Equal(t, bufferSize, b.Stats().Backlog)
	})
}

func TestSubscribersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b Bus
		for range maxSubscribers {
			_, err := b.Subscribe(t.Context())
			require.NoError(t, err)
		}
		s, err := b.Subscribe(t.Context())
		require.ErrorIs(t, err, ErrTooMany)
		_, open := <-s
		assert.False(t, open)
		assert.EqualValues(t, 1, b.Stats().Refused)
	})
}
