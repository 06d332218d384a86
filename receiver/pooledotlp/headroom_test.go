package pooledotlp

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/bufpool/bufpooltest"
)

func TestReadRequestsAreLeftOutOfTheCollectorsHeadroom(t *testing.T) {
	bufpooltest.WithoutGOGC(t)
	r := start(t, defaultConfig(DecodeVerified))
	bufpooltest.RequireLeftOutUntil(t, r.receiver.buffers, func() { assert.NoError(t, r.Shutdown(t.Context())) })
}
