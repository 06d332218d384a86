package bufpool

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A budget is tight as long as somebody lately found no room, and most of it is held; that readers were broken off does not prolong it.
func TestABudgetIsTightWhileRoomIsWanted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		budget := NewBudget(100)
		slow, other := budget.Reserve(), budget.Reserve()
		require.True(t, slow.Grow(60))
		assert.False(t, budget.Tight(), "nobody wants the room")
		time.Sleep(time.Hour)
		require.False(t, other.Grow(60))
		assert.True(t, budget.Tight())
		time.Sleep(SlowReader)
		assert.True(t, budget.Tight(), "who looks once in this time sees it")
		budget.Refuse()
		assert.EqualValues(t, 2, budget.Refused())
		time.Sleep(time.Nanosecond)
		assert.False(t, budget.Tight())
		require.False(t, other.Grow(60))
		assert.True(t, budget.Tight())
		slow.End()
		require.True(t, other.Grow(50))
		assert.False(t, budget.Tight(), "there is room now")
	})
}

func TestWithoutABoundNothingIsTight(t *testing.T) {
	for _, budget := range []*Budget{nil, NewBudget(0)} {
		r := budget.Reserve()
		require.True(t, r.Grow(1<<40))
		assert.False(t, budget.Bounded())
		assert.False(t, budget.Tight())
		r.End()
	}
	assert.True(t, NewBudget(1).Bounded())
}
