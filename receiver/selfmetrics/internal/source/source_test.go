package source

import (
	"errors"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestWhatASystemCannotTellIsNoFault: gopsutil says so of much on some systems. The rest is reported there.
func TestWhatASystemCannotTellIsNoFault(t *testing.T) {
	var r Reading
	assert.True(t, r.Check("load", 3, nil))
	assert.False(t, r.Check("load", 3, errors.New("load: not implemented yet")))
	assert.Empty(t, r.Faults)

	broken := errors.New("broken")
	assert.False(t, r.Check("load", 3, broken))
	assert.Equal(t, []Fault{{Part: "load", Metrics: 3, Err: broken}}, r.Faults)
}

func TestWhatKernelsCountFitsWhatIsSent(t *testing.T) {
	assert.EqualValues(t, 7, Signed(7))
	assert.EqualValues(t, math.MaxInt64, Signed(math.MaxUint64))
}
