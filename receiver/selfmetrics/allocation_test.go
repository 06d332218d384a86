//go:build !race

// The race detector allocates on its own.

package selfmetrics

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestAllocationsOfAScrapeAreUnderAMegabyte with 2,000 series, in either format.
func TestAllocationsOfAScrapeAreUnderAMegabyte(t *testing.T) {
	for name, format := range formats {
		s := scraperOf2000Series(t, format)
		const scrapes = 20
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range scrapes {
			_, err := s.scrape(t.Context())
			require.NoError(t, err)
		}
		runtime.ReadMemStats(&after)
		assert.Less(t, (after.TotalAlloc-before.TotalAlloc)/scrapes, uint64(1_000_000), name)
	}
}
