package delivery

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTheStoreOfAlertsIsBounded(t *testing.T) {
	d := start(t, Config{}, "")
	known := firing("Known")
	require.NoError(t, d.Send(t.Context(), known))
	assert.Equal(t, Stats{Alerts: 1}, d.Stats())
	d.hooks.stored.Store(maxAlerts) // as if there were so many
	require.NoError(t, d.Send(t.Context(), firing("OneTooMany"), resolved(known)))
	assert.Empty(t, d.Active(), "what is known is updated, and nothing is added")
	assert.Equal(t, Stats{Alerts: maxAlerts, Refused: 1}, d.Stats())
	d.hooks.PostDelete(known)
	require.NoError(t, d.Send(t.Context(), firing("Room")))
	assert.Len(t, d.Active(), 1)
}
