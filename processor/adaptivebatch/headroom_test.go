package adaptivebatch

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/bufpool/bufpooltest"
)

func TestCallsThatWaitEncodedAreLeftOutOfTheCollectorsHeadroom(t *testing.T) {
	bufpooltest.WithoutGOGC(t)
	u := start(t, arrivalKind, &backend{}, nil)
	bufpooltest.RequireLeftOutUntil(t, u.buffers, func() { assert.NoError(t, u.Shutdown(t.Context())) })
}
