package report

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestTicks(t *testing.T) {
	for _, c := range []struct {
		low, high   float64
		logarithmic bool
		labels      string
	}{
		{0, 2, false, "[0 0.5 1 1.5 2]"},
		{-0.0001, 1.9, false, "[0 0.5 1 1.5]"}, // not -0
		{-4, 4, false, "[-4 -2 0 2 4]"},
		{30, 1000, false, "[200 400 600 800 1000]"},
		{1, 1000, true, "[1 10 100 1000]"},
	} {
		assert.Equal(t, c.labels, fmt.Sprint(yTicks(c.low, c.high, c.logarithmic)), "%g to %g", c.low, c.high)
	}
}
