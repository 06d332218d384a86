package wire

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/testdata"
	"google.golang.org/grpc/mem"
)

func TestProfilesAreCarriedButNeitherJoinedNorDivided(t *testing.T) {
	sent := testdata.GenerateProfiles(3)
	sent.MarkReadOnly()
	r, err := FromProfiles(sent, mem.NopBufferPool{})
	require.NoError(t, err)
	assert.Equal(t, "profiles", r.Signal().String())
	assert.Equal(t, sent.SampleCount(), r.Items())

	checked := mustCheck(t, Profiles, frames(r.AppendTo(nil), 7))
	assert.Equal(t, r.Items(), checked.Items())
	assert.Equal(t, r.Bytes(), checked.Bytes())
	got, err := checked.Profiles()
	require.NoError(t, err)
	again, err := FromProfiles(got, mem.NopBufferPool{})
	require.NoError(t, err)
	assert.Equal(t, r.AppendTo(nil), again.AppendTo(nil))
	_, err = checked.Traces()
	require.EqualError(t, err, "a profiles request decoded as traces")

	whole, err := checked.Split(checked.Items(), 0, mem.NopBufferPool{})
	require.NoError(t, err)
	assert.Equal(t, []*Request{checked}, whole)
	_, err = checked.Split(1, 0, mem.NopBufferPool{})
	require.ErrorIs(t, err, errIndivisible)
	assert.Panics(t, func() { r.Append(again) })

	_, err = Check(Profiles, mem.BufferSlice{mem.SliceBuffer{0x0a, 9}})
	require.ErrorContains(t, err, "malformed profiles request")
}
